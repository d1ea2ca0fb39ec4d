import type { FastifyInstance } from 'fastify'

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Add an authenticator app</title>
</head>
<body>
<h1>Add an authenticator app</h1>
<form><p><label hidden>Code of your app<br><input name="code" inputmode="numeric"></label></p><p><button>Continue</button></p></form>
<output></output>
<script src="/authenticator-app.js"></script>
</body>
</html>
`

/** Shows the QR code for an app, sends its first code, and shows the recovery codes. */
const SCRIPT = `
const form = document.querySelector('form')
const { code } = form.elements
const output = document.querySelector('output')
let enrolment = null

async function post (path, body) {
  const headers = { 'content-type': 'application/json' }
  const reply = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
  const result = await reply.json()
  if (!reply.ok) throw new Error(result.message)
  return result
}

async function begin () {
  const { secret, url, svg, ...begun } = await post('/users/me/totp', {})
  enrolment = begun.enrolment
  const image = new Image(240, 240)
  image.alt = url
  image.src = 'data:image/svg+xml,' + encodeURIComponent(svg)
  form.before(image)
  code.parentElement.hidden = false
  output.textContent = 'Scan the image with your app, or type ' + secret
}

async function confirm () {
  const { recovery_codes: codes } = await post('/users/me/totp/confirm', { enrolment, code: code.value })
  form.remove()
  output.textContent = 'Keep these recovery codes: ' + codes.join(' ')
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

const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"

/** Adds a page on which a user adds an authenticator app. */
export function addTotpPage (app: FastifyInstance): void {
  const hidden = { schema: { hide: true } }
  app.get('/authenticator-app.js', hidden, async (_request, reply) => reply.type('text/javascript').send(SCRIPT))
  app.get('/authenticator-app', hidden, async (_request, reply) =>
    reply.type('text/html; charset=utf-8').header('content-security-policy', POLICY).send(PAGE)
  )
}
