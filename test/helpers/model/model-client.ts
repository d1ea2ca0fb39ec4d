// Sends the requests of a run to the application and compares the replies with the model.
import assert from 'node:assert/strict'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import type { TestApp } from '../build-app.js'
import { Refusal, type Account, type AccountModel, type Mail, type ModelSession, type Purpose } from './account-model.js'
import type { Prediction } from './account-rules.js'

/** Returns the headers of a request that presents sessions. */
export function headersOf (presented: readonly ModelSession[]): Record<string, string> {
  return Object.fromEntries(
    presented.map(({ backend, token }) => (backend === 'cookie' ? ['cookie', token] : ['authorization', `Bearer ${token}`]))
  )
}

/** Returns the predicted reply or refusal. */
export function predict (rule: () => Prediction): Prediction | Refusal {
  try {
    return rule()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}

/** Sends a request and compares the reply, the new session and the mails with the prediction. */
export async function sendRequest (
  test: TestApp,
  request: InjectOptions,
  expected: Prediction | Refusal
): Promise<void> {
  const reply = await test.app.inject(request)
  const found = { status: reply.statusCode, code: codeOf(reply) }
  assert.deepEqual(found, { status: expected.status, code: expected instanceof Refusal ? expected.code : null })
  const cookies = [reply.headers['set-cookie'] ?? []].flat().filter((cookie) => !cookie.includes('Max-Age=0'))
  if (expected instanceof Refusal) {
    assert.deepEqual(cookies, [], 'a refusal sets no cookie')
    await compareMails(test, [])
    return
  }
  takeSession(reply, cookies, expected.session ?? null)
  if (expected.account !== undefined) compareAccount(reply.json<Record<string, unknown> | null>(), expected.account)
  await compareMails(test, expected.mails ?? [])
}

function codeOf ({ statusCode, body }: LightMyRequestResponse): string | null {
  return statusCode < 400 ? null : String((JSON.parse(body) as { code: string }).code).replace('FST_USERS_', '')
}

/** Stores the token of a new session. */
function takeSession (reply: LightMyRequestResponse, cookies: readonly string[], session: ModelSession | null): void {
  assert.equal(cookies.length, session?.backend === 'cookie' ? 1 : 0, 'number of cookies that the reply sets')
  if (session === null) return
  session.token =
    session.backend === 'cookie'
      ? String(cookies[0]).replace(/;.*/, '')
      : reply.json<{ access_token: string }>().access_token
}

function compareAccount (body: Record<string, unknown> | null, account: Account | null): void {
  if (account !== null && account.id === '') account.id = String(body?.['id'])
  assert.deepEqual(body, account === null ? null : valuesOf(account))
}

/** Returns an account as a reply shows it. */
export function valuesOf ({ id, email, isActive, isSuperuser, isVerified }: Account): Record<string, unknown> {
  return { id, email, is_active: isActive, is_superuser: isSuperuser, is_verified: isVerified }
}

/** Compares the mails since the last request with the expected ones, and stores their tokens. */
async function compareMails ({ app, events }: TestApp, expected: readonly Mail[]): Promise<void> {
  await app.users.settled()
  const sent: { purpose: Purpose; id: string; to: string; token: string }[] = []
  for (const event of events.splice(0)) {
    if (event.name === 'onAfterForgotPassword') {
      sent.push({ purpose: 'reset', id: String(event.user.id), to: event.user.email, token: event.token })
    } else if (event.name === 'onAfterRequestVerify') {
      const purpose = event.email === event.user.email ? 'verify' : 'email-change'
      sent.push({ purpose, id: String(event.user.id), to: event.email, token: event.token })
    }
  }
  assert.deepEqual(
    sent.map(({ token, ...mail }) => mail),
    expected.map(({ purpose, account, email, newEmail }) => ({ purpose, id: account.id, to: newEmail ?? email })),
    'mails'
  )
  for (const [i, mail] of expected.entries()) mail.token = sent[i]?.token ?? ''
}

/** Calls a function of `app.users` and compares its result with the prediction. */
export async function callUsers (call: () => Promise<unknown>, expected: Prediction | Refusal): Promise<void> {
  const code = await call().then(
    () => null,
    (error: unknown) => String((error as { code?: string }).code)
  )
  assert.equal(code, expected instanceof Refusal ? `FST_USERS_${expected.code}` : null)
}

/** Compares all sessions, mails and accounts with the model. */
export async function compareAll (test: TestApp, model: AccountModel): Promise<void> {
  for (const session of model.sessions) {
    const { statusCode } = await test.send('GET', '/users/me', undefined, headersOf([session]))
    const isAccepted = model.isAlive(session) && session.account.isActive
    assert.equal(statusCode, isAccepted ? 200 : 401, `session ${JSON.stringify(session)}`)
  }
  for (const account of model.accounts) {
    const { id, email, password, isDeleted } = account
    const stored = await test.app.users.get(id)
    assert.deepEqual(stored, isDeleted ? null : valuesOf(account), `account ${JSON.stringify(account)}`)
    if (isDeleted) continue
    const checked = await test.app.users.checkCredentials({ username: email, password })
    assert.equal(checked?.id, id, `password of ${JSON.stringify(account)}`)
  }
}
