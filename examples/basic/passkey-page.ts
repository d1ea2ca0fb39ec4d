import type { FastifyInstance } from 'fastify'

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Passkeys</title>
<link rel="stylesheet" href="/passkeys.css">
<script type="module" src="/passkeys.js"></script>
<main>
  <h1>Round Table</h1>
  <p id="message" role="status"></p>
  <section id="visitor" hidden>
    <form>
      <label>E-mail <input name="username" type="email" autocomplete="username webauthn" required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password"></label>
      <button value="password">Log in</button>
      <button value="register">Register with a passkey</button>
    </form>
    <button id="passkey-login">Log in with a passkey</button>
  </section>
  <section id="user" hidden>
    <p>You are <strong id="email"></strong>.</p>
    <h2>Passkeys</h2>
    <ul id="passkeys"></ul>
    <button id="add">Add a passkey</button>
    <button id="logout">Log out</button>
  </section>
</main>
</html>
`

const STYLE = `body { font: 1.1rem/1.6 system-ui, sans-serif; color: #222; background: #faf8f4 }
main { max-width: 34rem; margin: 3rem auto; padding: 2rem; background: #fff; border: 1px solid #ddd; border-radius: 0.5rem }
label { display: block; margin-block: 0.5rem }
input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: 0.4rem }
button { font: inherit; color: #fff; background: #7a1f2b; border: 0; border-radius: 0.3rem; padding: 0.4rem 1rem; margin: 0.3rem 0.3rem 0.3rem 0 }
#message { min-height: 1.6em; color: #7a1f2b }
[hidden] { display: none }
`

const SCRIPT = `
const part = (id) => document.getElementById(id)
let waiting = new AbortController()

async function send (method, path, body) {
  const reply = await fetch(path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  })
  const content = reply.status === 204 ? null : await reply.json()
  if (!reply.ok) throw Object.assign(new Error(content.message), content)
  return content
}

// ends the ceremony that waits in the input: browsers allow one at a time
function nextSignal () {
  waiting.abort()
  waiting = new AbortController()
  return waiting.signal
}

async function create (options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options)
  return (await navigator.credentials.create({ publicKey, signal: nextSignal() })).toJSON()
}

async function get (options, mediation = 'optional') {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
  return (await navigator.credentials.get({ publicKey, mediation, signal: nextSignal() })).toJSON()
}

async function logInWithPasskey (mediation) {
  const { ticket, options } = await send('POST', '/auth/cookie/passkey/options')
  await send('POST', '/auth/cookie/passkey', { ticket, credential: await get(options, mediation) })
}

async function logInWithPassword (body) {
  try {
    await send('POST', '/auth/cookie/login', body)
  } catch (error) {
    const step = error.detail?.steps?.find(({ name }) => name === 'passkey')
    if (step === undefined) throw error
    const credential = await get(step.options)
    await send('POST', '/auth/cookie/login/passkey', { ticket: error.detail.ticket, credential })
  }
}

async function register ({ username: email }) {
  const { ticket, options } = await send('POST', '/auth/register/passkey/options', { email })
  await send('POST', '/auth/register/passkey', { ticket, credential: await create(options) })
  await logInWithPasskey()
}

async function add () {
  const { ticket, options } = await send('POST', '/users/me/passkeys/options')
  const name = 'Passkey of ' + new Date().toLocaleDateString('en')
  await send('POST', '/users/me/passkeys', { ticket, credential: await create(options), name })
}

function item ({ id, name, backed_up: backedUp }) {
  const line = document.createElement('li')
  const remove = document.createElement('button')
  remove.textContent = 'Delete'
  remove.addEventListener('click', () => act(() => send('DELETE', '/users/me/passkeys/' + id)))
  line.append(name + (backedUp ? ' (backed up) ' : ' '), remove)
  return line
}

async function show () {
  const me = await send('GET', '/users/me').catch(() => null)
  part('passkeys').replaceChildren(...(me === null ? [] : await send('GET', '/users/me/passkeys')).map(item))
  part('email').textContent = me?.email ?? ''
  part('visitor').hidden = me !== null
  part('user').hidden = me === null
  if (me === null && await PublicKeyCredential.isConditionalMediationAvailable?.()) {
    logInWithPasskey('conditional').then(show, () => {}) // the browser offers passkeys in the input
  }
}

async function act (work) {
  part('message').textContent = ''
  await work().catch((error) => { part('message').textContent = error.message })
  await show()
}

document.querySelector('form').addEventListener('submit', (event) => {
  event.preventDefault()
  const body = Object.fromEntries(new FormData(event.target))
  act(() => event.submitter.value === 'register' ? register(body) : logInWithPassword(body))
})
part('passkey-login').addEventListener('click', () => act(() => logInWithPasskey()))
part('add').addEventListener('click', () => act(add))
part('logout').addEventListener('click', () => act(() => send('POST', '/auth/cookie/logout')))
show()
`

/** Adds a page for logins, registrations and the list of passkeys. */
export function addPasskeyPage (app: FastifyInstance): void {
  for (const [path, type, content] of [
    ['/passkeys', 'text/html; charset=utf-8', PAGE],
    ['/passkeys.css', 'text/css', STYLE],
    ['/passkeys.js', 'text/javascript', SCRIPT]
  ] as const) {
    app.get(path, { schema: { hide: true } }, async (_request, reply) =>
      reply.type(type).header('content-security-policy', POLICY).send(content)
    )
  }
}
