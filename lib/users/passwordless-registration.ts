import type { StoredUserRows } from '../contracts/external-user.js'
import type {
  PasswordlessRegistration,
  PasswordlessValues,
  RegistrationStart
} from '../contracts/passwordless-registration.js'
import type { EventContext } from '../contracts/events.js'
import type { User } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import {
  FST_USERS_REGISTER_BAD_TOKEN,
  FST_USERS_REGISTER_USER_ALREADY_EXISTS,
  hasErrorCode
} from '../errors.js'
import { createUnusableHash } from '../passwords/index.js'
import { contextOf } from '../sessions/index.js'
import { foldCase } from '../shared/text.js'
import { parseEmail } from './email.js'
import { requiredFields, writableFields } from './fields.js'
import { registrationsOf } from './registration-by-mail.js'
import { newUserRow, reportExisting, requireValues, type ReadUser } from './registration.js'
import type { Rules } from './rules.js'

/**
 * Begins the registration of a person without a password, and returns the e-mail. With `registration: 'mail'`, it is
 * the e-mail of the mailed token, which stays valid. Otherwise the attempt counts as a registration.
 */
export async function beginPasswordless (rules: Rules, start: RegistrationStart, call: CallContext): Promise<string> {
  const context = contextOf(call)
  if (rules.settings.registration === 'mail') {
    await rules.attempts.begin('beginRegistration', { context })
    const mailed = 'token' in start ? await registrationsOf(rules).peek(start.token) : null
    if (mailed === null) throw FST_USERS_REGISTER_BAD_TOKEN()
    return mailed.email
  }
  requireValues(start, ['email'])
  const { email } = start as { email: string } // it has the value
  await rules.attempts.begin('register', { email, context })
  rules.check({ email })
  return parseEmail(email) as string // the check accepted it
}

/** Stores a new user without a password, with the dependent rows. Returns null if the reply must stay neutral. */
export async function completePasswordless (
  rules: Rules,
  values: PasswordlessValues,
  registration: PasswordlessRegistration,
  call: CallContext
): Promise<User | null> {
  const { settings } = rules
  const context = contextOf(call)
  if (settings.registration === 'mail') return await completeMailed(rules, values, registration, context)
  const user = readPasswordlessUser(rules, values, false)
  await rules.hooks.run('onBeforeRegister', { user }, context)
  if (!settings.revealExistingAccounts) {
    await completeNeutral(rules, user, registration, context)
    return null
  }
  const row = await insertPasswordless(rules, user, registration)
  if (row === null) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
  return await announce(rules, row, context)
}

/** Completes a registration by mail. A refusal does not use the token up. */
async function completeMailed (
  rules: Rules,
  values: PasswordlessValues,
  registration: PasswordlessRegistration,
  context: EventContext
): Promise<User> {
  await rules.attempts.begin('completeRegistration', { context })
  const created = await registrationsOf(rules).use(registration.token ?? '', async ({ email }) => {
    if (email !== values.email) throw FST_USERS_REGISTER_BAD_TOKEN()
    if ((await rules.rows.getByEmail(email)) !== null) return { row: null }
    const user = readPasswordlessUser(rules, values, true)
    await rules.hooks.run('onBeforeRegister', { user }, context)
    return { row: await insertPasswordless(rules, user, registration) }
  })
  if (created === null || created.row === null) throw FST_USERS_REGISTER_BAD_TOKEN()
  return await announce(rules, created.row, context)
}

/**
 * Does the same work for a new and a known e-mail: the hooks run after the reply. A dependent row that exists already
 * is not reported, because it is not looked up for a known e-mail.
 */
async function completeNeutral (
  rules: Rules,
  user: ReadUser,
  registration: PasswordlessRegistration,
  context: EventContext
): Promise<void> {
  const duplicate = FST_USERS_REGISTER_USER_ALREADY_EXISTS
  const row = await insertPasswordless(rules, user, { ...registration, duplicate })
  rules.background.run(async () => {
    if (row === null) await reportExisting(rules, user.email, 'register', context)
    else await announce(rules, row, context)
  }, context.reply)
}

/** Returns the stored user, or null if the e-mail is taken. Throws `duplicate()` if a dependent row exists already. */
async function insertPasswordless (
  rules: Rules,
  user: ReadUser,
  { dependents, duplicate }: PasswordlessRegistration
): Promise<StoredUserRows[0] | null> {
  const { rows, settings } = rules
  const known = await rows.getByEmail(user.email)
  const row = newUserRow(rules, user, await createUnusableHash(settings.passwords))
  // the unique index does not detect this duplicate
  if (known !== null && foldCase(known.email) !== foldCase(user.email)) return null
  try {
    const stored = await rows.insertWithDependents(row, dependents)
    if (stored === null) throw duplicate()
    return stored[0]
  } catch (error) {
    if (hasErrorCode(error, 'FST_USERS_REGISTER_USER_ALREADY_EXISTS')) return null
    throw error
  }
}

async function announce ({ rows, hooks }: Rules, row: StoredUserRows[0], context: EventContext): Promise<User> {
  const user = rows.toUser(row)
  await hooks.run('onAfterRegister', { user }, context)
  return user
}

/** Returns a new user with the fields that users may write themselves. */
function readPasswordlessUser (rules: Rules, values: PasswordlessValues, isVerified: boolean): ReadUser {
  const { fields } = rules.settings.schemas
  const user = { email: values.email, ...writableFields(fields, values, 'self', true) }
  rules.check(user)
  requireValues(user, ['email', ...requiredFields(fields)])
  return { ...user, email: parseEmail(values.email) as string, is_verified: isVerified } // the check accepted it
}
