import type { FastifyInstance } from 'fastify'
import { addPageFiles, STYLE } from './page-files.js'

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
    <form method="post">
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
  <p><a href="/account">Your account</a></p>
</main>
</html>
`

const SCRIPT = `
import { send, sendConfirmed } from '/step-up.js'

const part = (id) => document.getElementById(id)
let waiting = new AbortController()

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
    if (step === undefined && error.detail?.steps !== undefined) throw new Error('The login needs a code. Log in at /login.')
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
  const { ticket, options } = await sendConfirmed('POST', '/users/me/passkeys/options')
  const name = 'Passkey of ' + new Date().toLocaleDateString('en')
  await send('POST', '/users/me/passkeys', { ticket, credential: await create(options), name })
}

function item ({ id, name, backed_up: backedUp }) {
  const line = document.createElement('li')
  const remove = document.createElement('button')
  remove.textContent = 'Delete'
  remove.addEventListener('click', () => act(() => sendConfirmed('DELETE', '/users/me/passkeys/' + id)))
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

document.querySelector('main form').addEventListener('submit', (event) => {
  event.preventDefault()
  const body = Object.fromEntries(new FormData(event.target))
  act(() => event.submitter.value === 'register' ? register(body) : logInWithPassword(body))
})
part('passkey-login').addEventListener('click', () => act(() => logInWithPasskey()))
part('add').addEventListener('click', () => act(add))
part('logout').addEventListener('click', () => act(() => send('POST', '/auth/cookie/logout')))
show()
`

/** Adds a page for logins, registrations and the list of passkeys. It needs the script of step-up. */
export function addPasskeyPage (app: FastifyInstance): void {
  addPageFiles(app, [
    ['/passkeys', 'text/html; charset=utf-8', PAGE],
    ['/passkeys.css', 'text/css', STYLE],
    ['/passkeys.js', 'text/javascript', SCRIPT]
  ])
}
