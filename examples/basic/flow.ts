import type { UsersApi } from 'fastify-users'
import type { Mail } from './app.js'
import { useRoles } from './authorization-flow.js'
import type { Client, Jar } from './client.js'

const ARTHUR = 'king.arthur@camelot.bt'
const MERLIN = 'merlin@camelot.bt'
const [FIRST, SECOND, THIRD] = ['guinevere-1', 'round-table-2', 'excalibur-3'] as const

export interface Stage {
  client: Client
  users: UsersApi
  /** Mails sent so far, the newest last. */
  mails: readonly Mail[]
}

/** Runs the complete flow: registration, login, profile, passwords, verification, administration, roles and logout. */
export async function playFlow (stage: Stage): Promise<void> {
  const browser: Jar = new Map()
  await register(stage)
  const token = await logIn(stage, browser)
  await useProfile(stage, browser, token)
  await changePassword(stage, browser, token)
  await verify(stage, browser)
  await resetPassword(stage, browser)
  await administrate(stage)
}

async function register ({ client }: Stage): Promise<void> {
  await client.send('Request the profile without a login', 'GET /users/me', 401)
  const { body } = await client.send('Register', 'POST /auth/register', 201, {
    json: { email: ARTHUR, password: FIRST, display_name: 'Arthur', credits: 99, is_superuser: true }
  })
  client.check('the user is active and not a superuser', body.is_active === true && body.is_superuser === false)
  client.check('users cannot set their credits', body.credits === 0)
  client.check('the reply does not contain the password', !JSON.stringify(body).includes('password'))
  const again = await client.send('Registering the same e-mail again is refused', 'POST /auth/register', 400, {
    json: { email: ARTHUR, password: FIRST }
  })
  client.check('the error code names the reason', again.body.detail === 'REGISTER_USER_ALREADY_EXISTS')
  await client.send('Registering with a short password is refused', 'POST /auth/register', 400, {
    json: { email: MERLIN, password: 'short' }
  })
}

async function logIn ({ client }: Stage, browser: Jar): Promise<string> {
  const wrong = await client.send('Log in with a wrong password', 'POST /auth/jwt/login', 400, {
    form: { username: ARTHUR, password: SECOND }
  })
  client.check('the error does not tell whether the e-mail exists', wrong.body.detail === 'LOGIN_BAD_CREDENTIALS')
  const { body } = await client.send('Log in with the bearer backend', 'POST /auth/jwt/login', 200, {
    form: { username: ARTHUR, password: FIRST }
  })
  client.check('the reply contains a bearer token', body.token_type === 'bearer')
  const { cookie } = await client.send('Log in with the cookie backend', 'POST /auth/cookie/login', 204, {
    form: { username: ARTHUR, password: FIRST },
    jar: browser
  })
  client.check('scripts cannot read the cookie', cookie?.includes('HttpOnly') === true)
  return String(body.access_token)
}

async function useProfile ({ client }: Stage, browser: Jar, token: string): Promise<void> {
  const { body } = await client.send('Read the profile', 'GET /users/me', 200, { token })
  client.check('the profile is that of Arthur', body.email === ARTHUR)
  const hello = await client.send('Call a guarded route of the application', 'GET /hello', 200, { jar: browser })
  client.check('the reply contains the custom field', hello.body.hello === 'Arthur')
  await client.send('A route for superusers refuses other users', 'GET /admin', 403, { token })
  await client.send('Call a route with an optional login, without a login', 'GET /feed', 200)
  const feed = await client.send('Call the same route with a login', 'GET /feed', 200, { jar: browser })
  client.check('the reply is for Arthur', feed.body.feed === 'for Arthur')
  const changed = await client.send('Change the profile', 'PATCH /users/me', 200, {
    json: { display_name: 'King Arthur', credits: 99 },
    jar: browser
  })
  client.check(
    'the name has changed, the credits have not',
    changed.body.display_name === 'King Arthur' && changed.body.credits === 0
  )
}

async function changePassword ({ client }: Stage, browser: Jar, token: string): Promise<void> {
  const before = new Map(browser)
  const { cookie } = await client.send('Change the password', 'PATCH /users/me', 200, {
    json: { password: SECOND, current_password: FIRST },
    jar: browser
  })
  client.check('the browser that changed the password gets a new cookie', cookie !== null)
  await client.send('The old bearer token is refused', 'GET /users/me', 401, { token })
  await client.send('The old cookie is refused', 'GET /users/me', 401, { jar: before })
  await client.send('The new cookie is accepted', 'GET /users/me', 200, { jar: browser })
}

async function verify ({ client, users, mails }: Stage, browser: Jar): Promise<void> {
  await client.send('Request a verification token', 'POST /auth/request-verify-token', 202, { json: { email: ARTHUR } })
  await users.settled()
  const json = { token: mails.at(-1)?.token }
  const before = new Map(browser)
  const { body } = await client.send('Verify the e-mail', 'POST /auth/verify', 200, { json, jar: browser })
  client.check('the e-mail is verified', body.is_verified === true)
  await client.send('Using the verification token again is refused', 'POST /auth/verify', 400, { json })
  await client.send('The cookie from before the verification is refused', 'GET /users/me', 401, { jar: before })
  await client.send('The new cookie of the browser that verified is accepted', 'GET /users/me', 200, { jar: browser })
}

async function resetPassword ({ client, users, mails }: Stage, browser: Jar): Promise<void> {
  const sent = mails.length
  await client.send('Request a password reset', 'POST /auth/forgot-password', 202, { json: { email: ARTHUR } })
  await users.settled()
  await client.send('Requesting a reset for an unknown e-mail has the same reply', 'POST /auth/forgot-password', 202, {
    json: { email: 'nobody@camelot.bt' }
  })
  await users.settled()
  client.check('exactly one mail was sent, to Arthur', mails.length === sent + 1 && mails.at(-1)?.to === ARTHUR)
  const json = { token: mails.at(-1)?.token, password: THIRD }
  await client.send('Set a new password', 'POST /auth/reset-password', 200, { json })
  const again = await client.send('Using the reset token again is refused', 'POST /auth/reset-password', 400, { json })
  client.check('the error code names the token', again.body.detail === 'RESET_PASSWORD_BAD_TOKEN')
  await client.send('The cookie from before the reset is refused', 'GET /users/me', 401, { jar: browser })
}

async function administrate ({ client, users }: Stage): Promise<void> {
  await client.act('Create a superuser in code: app.users.create({ …, is_superuser: true })', () =>
    users.create({ email: MERLIN, password: FIRST, display_name: 'Merlin', is_superuser: true })
  )
  const browser: Jar = new Map()
  const login = { username: MERLIN, password: FIRST }
  await client.send('The superuser logs in with the cookie backend', 'POST /auth/cookie/login', 204, { form: login, jar: browser })
  const { body } = await client.send('The superuser logs in with the bearer backend', 'POST /auth/jwt/login', 200, {
    form: login
  })
  const token = String(body.access_token)
  await client.send('The superuser calls the route for superusers', 'GET /admin', 200, { token })

  const arthur = await client.send('Arthur logs in with the new password', 'POST /auth/jwt/login', 200, {
    form: { username: ARTHUR, password: THIRD }
  })
  const {
    body: { id }
  } = await client.send('Arthur reads the profile', 'GET /users/me', 200, { token: String(arthur.body.access_token) })
  await client.send('The superuser reads a user', `GET /users/${id}`, 200, { token })
  const changed = await client.send('The superuser changes a user', `PATCH /users/${id}`, 200, { json: { credits: 10 }, jar: browser })
  client.check('superusers can change the credits', changed.body.credits === 10)
  const user = String(arthur.body.access_token)
  await client.send('Arthur cannot read users by id', `GET /users/${id}`, 403, { token: user })
  await useRoles({ client, id: String(id), user, superuser: token })
  await client.send('The superuser deletes a user', `DELETE /users/${id}`, 204, { token })
  await client.send('The deleted user is not found', `GET /users/${id}`, 404, { token })
  await client.send('The bearer token of the deleted user is refused', 'GET /users/me', 401, { token: user })
  await logOut({ client, users }, browser, token)
}

async function logOut ({ client, users }: Omit<Stage, 'mails'>, browser: Jar, token: string): Promise<void> {
  const before = new Map(browser)
  await client.send('Log out with the cookie backend', 'POST /auth/cookie/logout', 204, { jar: browser })
  client.check('the reply deleted the cookie in the browser', browser.size === 0)
  await client.send('The cookie is refused after the logout', 'GET /hello', 401, { jar: before })
  await client.send('Log out with the bearer backend', 'POST /auth/jwt/logout', 204, { token })
  await client.send('The server does not store JWTs: the token is accepted until it expires', 'GET /hello', 200, { token })
  await client.act('End all sessions of the user in code: app.users.endSessions(user)', async () => {
    const user = await users.getByEmail(MERLIN)
    if (user !== null) await users.endSessions(user)
  })
  await client.send('The token is refused after all sessions have ended', 'GET /hello', 401, { token })
}
