import type { FastifyRequest } from 'fastify'
import type { Authentication } from '../contracts/authentication.js'
import type { EventContext } from '../contracts/events.js'
import type { LoginAnswer } from '../contracts/login-step.js'
import type { LoginResult } from '../contracts/users-api.js'
import type { UserRow } from '../contracts/user.js'
import { FST_USERS_REAUTHENTICATE_BAD_PASSWORD, FST_USERS_UNAUTHENTICATED } from '../errors.js'
import {
  backendNamed,
  contextOf,
  countKindsOf,
  countSecondFactors,
  insufficientAuthentication,
  meetsStepUp,
  readActingUser,
  resumeReauthentication,
  startReauthentication
} from '../sessions/index.js'
import { checkCurrentPassword, checkPassword } from './credentials.js'
import { hasPassword } from './login-methods.js'
import type { Rules } from './rules.js'

/** The sensitive change of a user. */
export interface SensitiveChange {
  /** Field `current_password` of the body. */
  readonly currentPassword: string | undefined
  /** The change sets a new password, so it needs the current one if the user has one (ASVS 6.2.3). */
  readonly setsPassword?: boolean
  /** The caller checks a second factor itself, so the session need not show one. */
  readonly provesFactor?: boolean
}

/** Does what `kit.requireStepUp` does. */
export async function requireStepUp (
  rules: Rules,
  request: FastifyRequest,
  body: { readonly current_password?: string } | null | undefined,
  { provesFactor = false, inEveryMode = false }: { provesFactor?: boolean; inEveryMode?: boolean } = {}
): Promise<void> {
  if (rules.settings.sensitiveChanges !== 'confirm' && !inEveryMode) return
  const row = await readActingUser(rules, request)
  await checkStepUp(rules, row, { currentPassword: body?.current_password, provesFactor }, contextOf({ request }))
}

/**
 * Throws unless the session of the request may make a sensitive change: it is fresh and, if the user has a second
 * factor, shows two kinds of factors. For a user without a second factor, the current password replaces the fresh
 * session. A given password is always checked. Throws `FST_USERS_INSUFFICIENT_USER_AUTHENTICATION` and
 * `FST_USERS_UPDATE_USER_BAD_CURRENT_PASSWORD`.
 */
export async function checkStepUp (
  rules: Rules,
  row: UserRow,
  { currentPassword, setsPassword = false, provesFactor = false }: SensitiveChange,
  context: EventContext
): Promise<void> {
  const { settings, rows } = rules
  const session = context.request?.authentication?.session
  const hasFactor = !provesFactor && (await countSecondFactors(rules, rows.toUser(row))) > 0
  const needed = { maxAge: settings.reauthentication.maxAgeSeconds, methods: hasFactor ? 2 : null }
  const countKinds = (methods: readonly string[]): number => countKindsOf(rules, methods)
  const isProved = session !== undefined && meetsStepUp(session, needed, settings.clock(), countKinds)
  const needsPassword = (setsPassword && hasPassword(row)) || currentPassword !== undefined
  if (!isProved && (hasFactor || !needsPassword)) throw insufficientAuthentication(needed, rules)
  if (needsPassword) await checkCurrentPassword(rules, row, currentPassword, context)
}

/**
 * Renews the session of a request after its user has proved again who they are: with the password and, if the user has
 * one, with a second factor. Throws `FST_USERS_UNAUTHENTICATED` and `FST_USERS_REAUTHENTICATE_BAD_PASSWORD`.
 */
export async function reauthenticate (
  rules: Rules,
  proof: { readonly password?: string } | LoginAnswer,
  context: EventContext
): Promise<LoginResult> {
  const { row, authentication } = await actingSession(rules, context)
  if ('ticket' in proof) return await resumeReauthentication(rules, proof, authentication, context)
  const { password } = proof
  if (password === undefined) await rules.attempts.begin('reauthentication', { backend: authentication.backend, context })
  else await checkPassword(rules, row, password, context, FST_USERS_REAUTHENTICATE_BAD_PASSWORD)
  return await startReauthentication(rules, {
    row,
    backend: backendNamed(rules, authentication.backend),
    authentication,
    proved: password === undefined ? [] : ['password'],
    context
  })
}

async function actingSession (
  rules: Rules,
  { request }: EventContext
): Promise<{ row: UserRow; authentication: Authentication }> {
  const authentication = request?.authentication ?? null
  if (request === null || authentication === null) throw FST_USERS_UNAUTHENTICATED()
  return { row: await readActingUser(rules, request), authentication }
}
