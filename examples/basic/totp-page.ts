import type { FastifyInstance } from 'fastify'
import { addPageFiles } from './page-files.js'

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Add an authenticator app</title>
</head>
<body>
<h1>Add an authenticator app</h1>
<form method="post"><p><label hidden>Code of your app<br><input name="code" inputmode="numeric"></label></p><p><button>Continue</button></p></form>
<output></output>
<p><a href="/account">Your account</a></p>
<script type="module" src="/authenticator-app.js"></script>
</body>
</html>
`

/** Shows the QR code for an app, sends its first code, and shows the recovery codes. */
const SCRIPT = `
import { sendConfirmed } from '/step-up.js'

const form = document.querySelector('form')
const { code } = form.elements
const output = document.querySelector('output')
let enrolment = null

async function begin () {
  const { secret, url, svg, ...begun } = await sendConfirmed('POST', '/users/me/totp')
  enrolment = begun.enrolment
  const image = new Image(240, 240)
  image.alt = url
  image.src = 'data:image/svg+xml,' + encodeURIComponent(svg)
  form.before(image)
  code.parentElement.hidden = false
  output.textContent = 'Scan the image with your app, or type ' + secret
}

async function confirm () {
  const { recovery_codes: codes } = await sendConfirmed('POST', '/users/me/totp/confirm', { enrolment, code: code.value })
  form.remove()
  output.textContent = codes === null
    ? 'The app is active. Your recovery codes are still valid.'
    : 'Keep these recovery codes: ' + codes.join(' ')
}

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  try {
    await (enrolment === null ? begin() : confirm())
  } catch (error) {
    output.textContent = error.message
  }
})
`

/** Adds a page on which a user adds an authenticator app. It needs the script of step-up. */
export function addTotpPage (app: FastifyInstance): void {
  addPageFiles(app, [
    ['/authenticator-app', 'text/html; charset=utf-8', PAGE],
    ['/authenticator-app.js', 'text/javascript', SCRIPT]
  ])
}
