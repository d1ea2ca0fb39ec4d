/** Content security policy: the page may load resources from this server only. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

/** The page, with a section for visitors and one for users. Its script shows one of them. */
export const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in with a provider</title>
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
<main>
  <h1>Round Table</h1>
  <p id="message" role="status"></p>
  <section id="visitor" hidden>
    <a class="button" id="provider-login" href="/auth/camelot/login?redirect=/">Log in with Camelot ID</a>
    <p>or with a password:</p>
    <form id="password-form">
      <label>E-mail <input name="username" type="email" autocomplete="username" required></label>
      <label>Password <input name="password" type="password" autocomplete="current-password" required></label>
      <button name="action" value="login">Log in</button>
      <button name="action" value="register">Register</button>
    </form>
  </section>
  <section id="user" hidden>
    <p>You are <strong id="email"></strong>.</p>
    <h2>Linked accounts</h2>
    <ul id="accounts"></ul>
    <a class="button" id="provider-link" href="/auth/associate/camelot/login?redirect=/">Link Camelot ID</a>
    <button id="logout">Log out</button>
  </section>
</main>
</html>
`

export const style = `body { font: 1.1rem/1.6 system-ui, sans-serif; color: #222; background: #faf8f4 }
main { max-width: 34rem; margin: 4rem auto; padding: 2rem; background: #fff; border: 1px solid #ddd; border-radius: 0.5rem }
label { display: block; margin-block: 0.5rem }
input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: 0.4rem }
button, .button { display: inline-block; font: inherit; color: #fff; background: #7a1f2b; border: 0; border-radius: 0.3rem; padding: 0.4rem 1rem; margin: 0.3rem 0.3rem 0.3rem 0; text-decoration: none; cursor: pointer }
#message { min-height: 1.6em; color: #7a1f2b }
[hidden] { display: none }
`
