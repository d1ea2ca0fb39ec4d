import type { Test } from 'tap'
import { PASSWORD, type TestApp } from './build-app.js'

/** Runs all flows with both backends: registration, login, change, password reset, logout and deletion. */
export async function flow (
  t: Test,
  { app, register, bearer, cookie, send, login, tokenOf }: TestApp,
  email: string,
  values: object = {}
): Promise<void> {
  const user = await register({ email, ...values })
  t.equal(
    (await send('POST', '/auth/register', { email: email.toUpperCase(), password: PASSWORD, ...values })).statusCode,
    400
  )
  const sessions = [await bearer(email), await cookie(email.toUpperCase())]
  for (const headers of sessions) {
    t.hasStrict((await send('GET', '/users/me', undefined, headers)).json(), { id: user.id, email, ...values })
  }
  t.equal((await send('PATCH', '/users/me', { email: `new.${email}` }, sessions[0])).statusCode, 200)
  t.equal((await send('POST', '/auth/forgot-password', { email: `NEW.${email}` })).statusCode, 202)
  const token = await tokenOf('onAfterForgotPassword')
  t.equal((await send('POST', '/auth/reset-password', { token, password: 'excalibur-22' })).statusCode, 200)
  t.equal((await send('POST', '/auth/reset-password', { token, password: 'excalibur-33' })).statusCode, 400, 'once')
  t.equal((await send('GET', '/users/me', undefined, sessions[1])).statusCode, 401, 'a reset ends sessions')
  t.equal((await login('cookie', `new.${email}`)).statusCode, 400)
  const headers = await cookie(`new.${email}`, 'excalibur-22')
  t.equal((await send('POST', '/auth/cookie/logout', undefined, headers)).statusCode, 204)
  t.equal((await send('GET', '/users/me', undefined, headers)).statusCode, 401)
  const last = await cookie(`new.${email}`, 'excalibur-22')
  await app.users.delete(user)
  t.equal((await send('GET', '/users/me', undefined, last)).statusCode, 401)
}
