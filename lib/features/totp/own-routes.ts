import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import {
  acceptMissingBody,
  authenticate,
  BODY_ERRORS,
  CONFIRM_ERRORS,
  createFirstRecoveryCodes,
  currentUser,
  describeRoute,
  errorReplies,
  ownAccountGuard,
  recoveryCodesOf,
  replyOf,
  rereadSession,
  stepUpBody,
  Type,
  type EventContext,
  type FeatureKit,
  type User,
  type UserRow,
  type CurrentPasswordBody
} from '../../feature/index.js'
import type { Authenticators } from './authenticator.js'
import type { Enrolments } from './enrolments.js'
import {
  FST_USERS_TOTP_ALREADY_ACTIVE,
  FST_USERS_TOTP_CODE_INVALID,
  FST_USERS_TOTP_ENROLMENT_INVALID,
  FST_USERS_TOTP_NOT_ACTIVE
} from './errors.js'
import { FACTOR } from './login-steps.js'
import type { TotpRow } from './model.js'
import { isCode, type OneTimePasswords } from './one-time-password.js'
import { TotpConfirmation, TotpConfirmed, TotpEnrolment, TotpRead, TotpRemoval } from './schemas.js'

/** Options of the routes of users. */
export interface TotpRoutesOptions {
  kit: FeatureKit
  passwords: OneTimePasswords
  authenticators: Authenticators
  enrolments: Enrolments
}

const SESSION_ERRORS = ['UNAUTHENTICATED', 'FORBIDDEN'] as const
const CHANGE_ERRORS = [...SESSION_ERRORS, 'CROSS_SITE_REQUEST', 'TOO_MANY_ATTEMPTS'] as const

/** Registers the routes with which users add and remove their authenticator app. They need a session. */
export const totpRoutes: FastifyPluginAsync<TotpRoutesOptions> = async (scope, options) => {
  addReadTotpRoute(scope, options)
  addBeginRoute(scope, options)
  addConfirmTotpRoute(scope, options)
  addRemoveRoute(scope, options)
}

function addReadTotpRoute (scope: FastifyInstance, { kit, authenticators }: TotpRoutesOptions): void {
  const { settings } = kit
  scope.get('/me/totp', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'totp',
        summary: 'Read whether you have an authenticator app'
      }),
      response: {
        200: replyOf(TotpRead, 'The state of the authenticator app.'),
        ...errorReplies(settings, ...SESSION_ERRORS)
      }
    },
    onRequest: ownAccountGuard(kit.settings),
    exposeHeadRoute: false
  }, async (request) => await authenticators.state(currentUser(request)))
}

function addBeginRoute (scope: FastifyInstance, options: TotpRoutesOptions): void {
  const { kit, passwords, authenticators, enrolments } = options
  const { settings } = kit
  const verified = authenticate({ verified: true })
  const { body, errors } = stepUpBody(settings)
  scope.post<{ Body: CurrentPasswordBody | undefined }>('/me/totp', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'beginTotp',
        summary: 'Begin to add an authenticator app',
        description: 'The app is active after the confirmation. The secret cannot be read again.'
      }),
      ...body,
      response: {
        201: replyOf(TotpEnrolment, 'The secret for the app.'),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...errors, 'TOTP_ALREADY_ACTIVE')
      }
    },
    onRequest: verified,
    preValidation: acceptMissingBody,
    preHandler: rereadSession(verified)
  }, async (request, reply) => {
    await kit.attempts.begin('totpEnrolment', { context: { request, reply } })
    await kit.requireStepUp(request, request.body)
    const row = await kit.readActingUser(request)
    if ((await authenticators.find(row)) !== null) throw FST_USERS_TOTP_ALREADY_ACTIVE()
    const { secret, sealed } = authenticators.createSecret(row)
    const { token, expiresAt } = await enrolments.begin(row, sealed, request)
    const shown = passwords.describe(secret, row.email)
    return await reply.code(201).send({ enrolment: token, expires_at: expiresAt.toISOString(), ...shown })
  })
}

function addConfirmTotpRoute (scope: FastifyInstance, options: TotpRoutesOptions): void {
  const { kit } = options
  const { settings } = kit
  const verified = authenticate({ verified: true })
  scope.post<{ Body: TotpConfirmation }>('/me/totp/confirm', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'confirmTotp',
        summary: 'Confirm the authenticator app with its first code',
        description: 'Needs the session that began the enrolment. All other sessions end.'
      }),
      body: TotpConfirmation,
      response: {
        201: replyOf(TotpConfirmed, 'The app is active. Logins need its codes from now on.'),
        ...errorReplies(
          settings,
          ...CHANGE_ERRORS,
          ...BODY_ERRORS,
          'TOTP_CODE_INVALID',
          'TOTP_ENROLMENT_INVALID',
          'TOTP_ALREADY_ACTIVE'
        )
      }
    },
    onRequest: verified,
    preHandler: rereadSession(verified)
  }, async (request, reply) => {
    const { acting, created } = await confirmEnrolment(options, request, reply)
    const codes = await addRecoveryCodes(options, acting, created, { request, reply })
    const undo = (): Promise<void> => withdrawAuthenticator(options, created, codes !== null)
    await kit.secondFactors.changed(acting, { change: 'added', method: FACTOR, undo, request, reply })
    const since = created.created_at.toISOString()
    return await reply.code(201).send({ active: true, since, recovery_codes: codes })
  })
}

/** Makes the secret of an enrolment active, unless the session has ended meanwhile. */
async function confirmEnrolment (
  { kit, authenticators, enrolments }: TotpRoutesOptions,
  request: FastifyRequest<{ Body: TotpConfirmation }>,
  reply: FastifyReply
): Promise<{ acting: UserRow; created: TotpRow }> {
  const { enrolment, code } = request.body
  let sealed: string | null = null
  const created = await checkCountedCode(kit, request, reply, async (row) => {
    sealed = await enrolments.attempt(row, enrolment, request)
    if (sealed === null) throw FST_USERS_TOTP_ENROLMENT_INVALID()
    return await authenticators.activate(row, sealed, code)
  })
  try {
    // an enrolment that was replaced meanwhile has ended
    if (!(await enrolments.end(enrolment))) throw FST_USERS_TOTP_ENROLMENT_INVALID()
    return { acting: await kit.readActingUser(request), created }
  } catch (error) {
    await authenticators.remove(created)
    throw error
  }
}

/** Creates the first recovery codes of a user. If that fails, the app is removed again. */
async function addRecoveryCodes (
  options: TotpRoutesOptions,
  acting: UserRow,
  created: TotpRow,
  context: EventContext
): Promise<readonly string[] | null> {
  try {
    return await createFirstRecoveryCodes(options.kit, acting, context)
  } catch (error) {
    await withdrawAuthenticator(options, created, false).catch(() => {}) // the first error is the one to report
    throw error
  }
}

/** Removes an app that was added a moment ago, and the recovery codes that were created with it. */
async function withdrawAuthenticator (
  { kit, authenticators }: TotpRoutesOptions,
  created: TotpRow,
  hasCodes: boolean
): Promise<void> {
  await authenticators.remove(created)
  if (hasCodes) await recoveryCodesOf(kit)?.remove({ id: created.user_id as User['id'] } as User) // only the id is read
}

function addRemoveRoute (scope: FastifyInstance, { kit, authenticators }: TotpRoutesOptions): void {
  const { settings } = kit
  const own = ownAccountGuard(kit.settings)
  scope.delete<{ Body: TotpRemoval }>('/me/totp', {
    schema: {
      ...describeRoute(settings, {
        tags: ['users'],
        operation: 'removeTotp',
        summary: 'Remove your authenticator app',
        description: 'Needs a code of the app or a recovery code. All other sessions end.'
      }),
      body: TotpRemoval,
      response: {
        204: Type.Null({ description: 'The app is removed.' }),
        ...errorReplies(settings, ...CHANGE_ERRORS, ...CONFIRM_ERRORS, 'TOTP_CODE_INVALID', 'TOTP_NOT_ACTIVE')
      }
    },
    onRequest: own,
    preHandler: rereadSession(own)
  }, async (request, reply) => {
    await kit.requireStepUp(request, request.body, { provesFactor: true })
    const row = await authenticators.find(currentUser(request))
    if (row === null) throw FST_USERS_TOTP_NOT_ACTIVE()
    const { code } = request.body
    await checkCountedCode(kit, request, reply, async (user) => {
      const isRight = isCode(code)
        ? await authenticators.accept(row, code)
        : (await recoveryCodesOf(kit)?.use(user, code, { request, reply })) === true
      return isRight || null
    })
    const remove = async (): Promise<void> => {
      if (!(await authenticators.remove(row))) throw FST_USERS_TOTP_NOT_ACTIVE()
    }
    const acting = await kit.readActingUser(request)
    await kit.secondFactors.changed(acting, { change: 'removed', method: FACTOR, remove, request, reply })
    return await reply.code(204).send()
  })
}

/**
 * Checks a code of the user of a session, and returns the result of the check. Null stands for a wrong code, which
 * counts for the account together with the wrong answers of logins. A right code resets no counter: a person with a
 * stolen session could otherwise reset it with codes of a secret that they enrol themselves. Throws
 * `FST_USERS_TOTP_CODE_INVALID`.
 */
async function checkCountedCode<T> (
  kit: FeatureKit,
  request: FastifyRequest,
  reply: FastifyReply,
  check: (row: UserRow) => Promise<T | null>
): Promise<T> {
  const context = { request, reply }
  const attempt = await kit.attempts.begin('secondFactor', { email: currentUser(request).email, context })
  let row: UserRow
  let result: T | null
  try {
    row = await kit.readActingUser(request)
    result = await check(row)
  } catch (error) {
    attempt.undo()
    throw error
  }
  if (result === null) {
    await attempt.failed(row)
    throw FST_USERS_TOTP_CODE_INVALID()
  }
  attempt.undo()
  return result
}
