/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
// Runs in the browser and uses only the routes of the plugin.

interface Account {
  id: string
  oauth_name: string
  account_email: string
}

/** Messages of the page by error code. */
const MESSAGES: Record<string, string> = {
  OAUTH_REFUSED: 'You refused the login at the provider.',
  OAUTH_USER_ALREADY_EXISTS:
    'A user with this e-mail exists. Log in with your password, then link the provider.',
  OAUTH_ACCOUNT_ALREADY_LINKED: 'This provider account is linked to another user.',
  OAUTH_LAST_LOGIN_METHOD: 'This account is your only way to log in. Set a password first.',
  OAUTH_INVALID_STATE: 'The login was started in another browser or took too long. Try again.',
  LOGIN_BAD_CREDENTIALS: 'The e-mail or the password is wrong.',
  REGISTER_USER_ALREADY_EXISTS: 'A user with this e-mail exists.'
}

function part (id: string): HTMLElement {
  const found = document.getElementById(id)
  if (found === null) throw new Error(`the page has no ${id}`)
  return found
}

function tell (word: string): void {
  part('message').textContent = word === '' ? '' : (MESSAGES[word] ?? `It did not work: ${word}`)
}

async function call (method: string, path: string, body?: URLSearchParams | object): Promise<Response> {
  const form = body instanceof URLSearchParams
  const init =
    body === undefined
      ? {}
      : {
          body: form ? body : JSON.stringify(body),
          headers: { 'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json' }
        }
  const reply = await fetch(path, { method, ...init })
  if (!reply.ok && reply.status !== 401) tell(wordOf((await reply.json()) as { detail?: unknown }))
  return reply
}

function wordOf ({ detail }: { detail?: unknown }): string {
  if (typeof detail === 'string') return detail
  const { reason = 'the server refused' } = (Array.isArray(detail) ? detail[0] : detail) as { reason?: string }
  return reason
}

/** Shows the page. All data is loaded first, so that the page never shows data of the previous user. */
async function show (): Promise<void> {
  const me = await call('GET', '/users/me')
  const { email } = me.ok ? ((await me.json()) as { email: string }) : { email: '' }
  const accounts = me.ok ? ((await (await call('GET', '/users/me/oauth-accounts')).json()) as Account[]) : []
  part('email').textContent = email
  part('accounts').replaceChildren(...accounts.map(item))
  part('provider-link').hidden = accounts.length > 0
  part('visitor').hidden = me.ok
  part('user').hidden = !me.ok
}

function item ({ id, oauth_name: name, account_email: email }: Account): HTMLLIElement {
  const line = document.createElement('li')
  const unlink = document.createElement('button')
  unlink.textContent = 'Unlink'
  unlink.addEventListener('click', () => {
    act('DELETE', `/users/me/oauth-accounts/${id}`).catch(report)
  })
  line.append(`${name}: ${email} `, unlink)
  return line
}

async function act (method: string, path: string, body?: URLSearchParams | object): Promise<void> {
  tell('')
  await call(method, path, body)
  await show()
}

async function submit (form: HTMLFormElement, action: string): Promise<void> {
  const data = new FormData(form)
  const [username, password] = [String(data.get('username')), String(data.get('password'))]
  tell('')
  if (action === 'register' && !(await call('POST', '/auth/register', { email: username, password })).ok) return
  await act('POST', '/auth/cookie/login', new URLSearchParams({ username, password }))
}

function report (error: unknown): void {
  part('message').textContent = String(error)
}

part('password-form').addEventListener('submit', (event) => {
  event.preventDefault()
  const { submitter } = event as SubmitEvent
  submit(event.target as HTMLFormElement, submitter?.getAttribute('value') ?? 'login').catch(report)
})
part('logout').addEventListener('click', () => {
  act('POST', '/auth/cookie/logout').catch(report)
})
tell(new URLSearchParams(location.search).get('error') ?? '')
history.replaceState(null, '', location.pathname)
show().catch(report)
