import type { FastifyInstance } from 'fastify'
import { addPageFiles } from './page-files.js'

/** The content of the dialog in which users confirm that it is them. */
const FORM = `<form method="post">
  <h2 id="step-up">Confirm that it is you</h2>
  <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
  <label>Code of your app, or a recovery code <input name="code" autocomplete="one-time-code" required></label>
  <p role="alert"></p>
  <button name="proceed">Confirm</button>
  <button name="passkey" type="button">Use a passkey</button>
  <button name="cancel" type="button">Cancel</button>
</form>`

const SCRIPT = `
const PATH = '/auth/cookie/reauthenticate'
const dialog = document.createElement('dialog')
dialog.setAttribute('aria-labelledby', 'step-up')
dialog.innerHTML = ${JSON.stringify(FORM)}
const form = dialog.querySelector('form')
const message = dialog.querySelector('[role=alert]')
const { password, code, proceed, passkey, cancel } = form.elements
let offered = { steps: [] }

export async function send (method, path, body) {
  const reply = await fetch(path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  })
  const text = await reply.text()
  const content = text === '' ? null : JSON.parse(text)
  if (!reply.ok) throw Object.assign(new Error(content.message), content)
  return content
}

// sends a request; if it needs a newer or stronger login, the user confirms, and it is sent again
export async function sendConfirmed (method, path, body) {
  try {
    return await send(method, path, body)
  } catch (error) {
    if (error.code !== 'FST_USERS_INSUFFICIENT_USER_AUTHENTICATION') throw error
    await confirm()
    return await send(method, path, body)
  }
}

async function confirm () {
  message.textContent = ''
  await begin()
  document.body.append(dialog)
  dialog.returnValue = ''
  dialog.showModal()
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }))
  dialog.remove()
  if (dialog.returnValue !== 'confirmed') throw new Error('You did not confirm, so nothing has changed.')
}

// without a password, the server lists the steps that replace it, or refuses if there are none
async function begin () {
  try {
    await prove('', {}, true)
  } catch (error) {
    if (error.code !== 'FST_USERS_REAUTHENTICATE_BAD_PASSWORD') throw error
    show({ steps: [] }, true)
  }
}

async function prove (step, body, isFirst = false) {
  try {
    await send('POST', PATH + step, body)
    dialog.close('confirmed')
  } catch (error) {
    if (error.code !== 'FST_USERS_LOGIN_PENDING') throw error
    show(error.detail, isFirst)
  }
}

// in a recent session, a code suffices: the password was given at the login
function show (next, isFirst) {
  offered = next
  const names = next.steps.map(({ name }) => name)
  const needsCode = names.includes('totp') || names.includes('recovery-code')
  toggle(password, isFirst && !needsCode)
  toggle(code, needsCode)
  proceed.hidden = password.disabled && code.disabled
  passkey.hidden = !names.includes('passkey')
  const first = [code, password].find((input) => !input.disabled) ?? passkey
  if (dialog.open) first.focus()
}

function toggle (input, isShown) {
  input.value = ''
  input.disabled = !isShown
  input.parentElement.hidden = !isShown
}

async function proveCode () {
  const given = code.value.replaceAll(' ', '')
  const step = /^[0-9]{6}$/.test(given) ? '/totp' : '/recovery-code'
  await prove(step, { ticket: offered.ticket, code: given })
}

async function provePasskey () {
  const { options } = offered.steps.find(({ name }) => name === 'passkey')
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options)
  const credential = (await navigator.credentials.get({ publicKey })).toJSON()
  await prove('/passkey', { ticket: offered.ticket, credential })
}

async function act (work) {
  message.textContent = ''
  try {
    await work()
  } catch (error) {
    // a challenge can be answered once, a ticket five times
    if (/TICKET_INVALID|PASSKEY/.test(error.code)) await begin().catch(() => {})
    message.textContent = error.message
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  act(() => code.disabled ? prove('', { password: password.value }) : proveCode())
})
passkey.addEventListener('click', () => act(provePasskey))
cancel.addEventListener('click', () => dialog.close())
`

/** Adds the module with which pages send requests that may need a newer or stronger login. */
export function addStepUpScript (app: FastifyInstance): void {
  addPageFiles(app, [['/step-up.js', 'text/javascript', SCRIPT]])
}
