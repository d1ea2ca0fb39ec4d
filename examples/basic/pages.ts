import type { FastifyInstance } from 'fastify'
import { addPageFiles } from './page-files.js'

/** A page to which the links in mails lead. Opening it changes nothing: only its button sends a request. */
interface Page {
  title: string
  button: string
  /** Path of the request. The token of the link is part of its body. */
  path: string
  /** Inputs by the name of the property in the body. */
  inputs: Record<string, { label: string; type: 'email' | 'password' }>
}

const email = { label: 'E-mail', type: 'email' } as const
const password = { label: 'New password', type: 'password' } as const

const pages: Record<string, Page> = {
  '/verify': { title: 'Confirm your e-mail', button: 'Confirm', path: '/auth/verify', inputs: {} },
  '/reset-password': {
    title: 'Set a new password',
    button: 'Save',
    path: '/auth/reset-password',
    inputs: { password }
  },
  '/undo-email-change': {
    title: 'Restore your previous e-mail',
    button: 'Restore',
    path: '/auth/undo-email-change',
    inputs: {}
  },
  '/undo-deletion': { title: 'Keep your account', button: 'Keep', path: '/auth/undo-deletion', inputs: {} },
  '/email': { title: 'Log in by e-mail', button: 'Send a mail', path: '/auth/cookie/email', inputs: { email } },
  '/email-login': { title: 'Log in by e-mail', button: 'Log in', path: '/auth/cookie/email/confirm', inputs: {} },
  '/forgot-password': {
    title: 'Forgot your password?',
    button: 'Send a mail',
    path: '/auth/forgot-password',
    inputs: { email }
  },
  '/login': {
    title: 'Log in',
    button: 'Log in',
    path: '/auth/cookie/login',
    inputs: { username: email, password: { label: 'Password', type: 'password' } }
  }
}

// the token is in the fragment of the URL, which browsers do not send to servers
const SCRIPT = `
const form = document.querySelector('form')
const further = {}
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  const body = { ...Object.fromEntries(new FormData(form)), ...further }
  if (location.hash !== '') body.token = location.hash.slice(1)
  const isRecoveryCode = body.code !== undefined && !/^[0-9]{6}$/.test(body.code)
  const reply = await fetch(isRecoveryCode ? form.dataset.path.replace('totp', 'recovery-code') : form.dataset.path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  const text = await reply.text()
  const { ticket, code, detail, message = 'Done.' } = text === '' ? {} : JSON.parse(text)
  document.querySelector('output').textContent = message
  if (ticket !== undefined) askForCode(ticket, form.dataset.path + '/confirm', 'Code of the mail')
  if (detail?.code === 'LOGIN_STEP_REQUIRED') askForStep(detail)
  if (code === 'FST_USERS_EMAIL_LOGIN_OTHER_BROWSER') askForConfirmation(detail)
})

function askForCode (ticket, path, label) {
  further.ticket = ticket
  form.dataset.path = path
  form.innerHTML = '<p><label>' + label + '<br><input name="code" required></label></p><p><button>Log in</button></p>'
  document.querySelector('output').textContent = ''
}

function askForStep ({ ticket, steps }) {
  const names = steps.map(({ name }) => name)
  if (names.includes('totp')) askForCode(ticket, '/auth/cookie/login/totp', 'Code of your app, or a recovery code')
  else if (names.includes('passkey')) document.querySelector('output').innerHTML = '<a href="/passkeys">Log in with your passkey</a>'
}

function askForConfirmation ({ email, device, ip }) {
  further.other_browser = true
  document.querySelector('output').textContent =
    (device ?? 'Another device') + ' at ' + ip + ' asked to log in as ' + email + '. Press the button again to log in here.'
}
`

/** Adds a page for each link in the mails of the plugin. */
export function addPages (app: FastifyInstance): void {
  addPageFiles(app, [['/pages.js', 'text/javascript', SCRIPT]])
  for (const [path, page] of Object.entries(pages)) addPageFiles(app, [[path, 'text/html; charset=utf-8', render(page)]])
}

function render ({ title, button, path, inputs }: Page): string {
  const fields = Object.entries(inputs).map(
    ([name, { label, type }]) => `<p><label>${label}<br><input name="${name}" type="${type}" required></label></p>`
  )
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title></head>
<body>
<h1>${title}</h1>
<form method="post" data-path="${path}">${fields.join('')}<p><button>${button}</button></p></form>
<output></output>
<p><a href="/account">Your account</a></p>
<script src="/pages.js"></script>
</body>
</html>
`
}
