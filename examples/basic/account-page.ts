import type { FastifyInstance } from 'fastify'
import { addPageFiles, STYLE } from './page-files.js'

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Your account</title>
<link rel="stylesheet" href="/account.css">
<script type="module" src="/account.js"></script>
<main>
  <h1>Your account</h1>
  <p id="message" role="status"></p>
  <p id="visitor" hidden>You are not logged in. <a href="/login">Log in with a password</a> or <a href="/passkeys">with a passkey</a>.</p>
  <div id="user" hidden>
    <p>You are <strong id="email"></strong>. You can have <a href="/authenticator-app">an authenticator app</a> and <a href="/passkeys">passkeys</a>.</p>
    <h2>E-mail</h2>
    <form method="post" name="verification" hidden>
      <p>Your e-mail is not verified. Authenticator apps and further passkeys need that.</p>
      <button>Send a mail to verify it</button>
    </form>
    <form method="post" name="email">
      <label>New e-mail <input name="email" type="email" autocomplete="email" required></label>
      <button>Change the e-mail</button>
    </form>
    <h2>Your data</h2>
    <form method="post" name="export">
      <button>Download your data</button>
    </form>
    <h2>Deletion</h2>
    <form method="post" name="deletion">
      <p>You are logged out at once. A mail has a link that undoes the deletion as long as your data is kept.</p>
      <label><input name="isSure" type="checkbox" required> I want to delete my account</label>
      <button>Delete your account</button>
    </form>
    <form method="post" name="logout">
      <button>Log out</button>
    </form>
  </div>
</main>
</html>
`

const SCRIPT = `
import { send, sendConfirmed } from '/step-up.js'

const part = (id) => document.getElementById(id)

const actions = {
  async verification () {
    const email = part('email').textContent
    await send('POST', '/auth/request-verify-token', { email })
    return 'A mail was sent to ' + email + '. Open its link.'
  },
  async email ({ email }) {
    await sendConfirmed('PATCH', '/users/me', { email })
    return 'A mail was sent to ' + email + '. The e-mail changes when you open its link.'
  },
  async export () {
    const data = await sendConfirmed('GET', '/users/me/export')
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' }))
    link.download = 'account.json'
    link.click()
    URL.revokeObjectURL(link.href)
    return 'Your data is in the file account.json.'
  },
  async deletion () {
    const { deletes_at: time } = await sendConfirmed('DELETE', '/users/me')
    const day = new Date(time).toLocaleDateString('en', { dateStyle: 'long' })
    return 'Your account is closed, and will be deleted on ' + day + '. To keep it, open the link in the mail that was sent to you.'
  },
  async logout () {
    await send('POST', '/auth/cookie/logout')
    return 'You are logged out.'
  }
}

async function show () {
  const me = await send('GET', '/users/me').catch(() => null)
  part('email').textContent = me?.email ?? ''
  document.forms.verification.hidden = me?.is_verified !== false
  part('visitor').hidden = me !== null
  part('user').hidden = me === null
}

for (const form of document.querySelectorAll('main form')) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const message = part('message')
    message.textContent = ''
    try {
      const result = await actions[form.name](Object.fromEntries(new FormData(form)))
      form.reset()
      await show()
      message.textContent = result
    } catch (error) {
      message.textContent = error.message
    }
  })
}
show()
`

/**
 * Adds a page on which users change their e-mail, download their data and delete their account. It needs the script of
 * step-up.
 */
export function addAccountPage (app: FastifyInstance): void {
  addPageFiles(app, [
    ['/account', 'text/html; charset=utf-8', PAGE],
    ['/account.css', 'text/css', STYLE],
    ['/account.js', 'text/javascript', SCRIPT]
  ])
}
