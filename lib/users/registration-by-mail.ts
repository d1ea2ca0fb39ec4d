import type { EventContext } from '../contracts/events.js'
import type { SingleUse } from '../contracts/single-use.js'
import type { User, UserRow } from '../contracts/user.js'
import type { CallContext, RegistrationValues } from '../contracts/users-api.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_REGISTER_BAD_TOKEN } from '../errors.js'
import { contextOf } from '../sessions/index.js'
import { parseEmail } from './email.js'
import { insertUser, readNewUser } from './registration.js'
import type { Rules } from './rules.js'

/** The stored value of a token that completes a registration. */
export interface MailedRegistration {
  readonly email: string
}

/**
 * Looks the e-mail up. After the reply has been sent, it creates a token for an e-mail that no user has, or reports the
 * attempt to the owner. Throws `FST_USERS_INVALID_USER` for text that is not an e-mail.
 */
export async function requestRegistration (rules: Rules, given: string, call: CallContext): Promise<void> {
  const { check, rows, hooks, background, attempts, settings } = rules
  const registrations = registrationsOf(rules)
  const context = contextOf(call)
  await attempts.begin('register', { email: given, context })
  check({ email: given })
  const email = parseEmail(given) as string // the check accepted it
  const existing = await rows.getByEmail(email)
  const mail = { purpose: 'register', email, alwaysAfterSeconds: settings.tokens.register.lifetimeSeconds }
  background.run(async () => {
    if (!(await attempts.allowMail(mail))) return
    if (existing === null) {
      const token = await registrations.create({ email })
      await hooks.run('onAfterRequestRegister', { email, token }, context)
    } else {
      await hooks.run('onRegisterExisting', { user: rows.toUser(existing), attempt: 'register' }, context)
    }
  }, context.reply)
}

/**
 * Creates the user of a mailed token, with a verified e-mail. A token works once. It is refused if the e-mail has an
 * account in the meantime: the unique index decides between parallel registrations. A refused password or field does
 * not use the token up.
 */
export async function completeRegistration (
  rules: Rules,
  token: string,
  values: RegistrationValues,
  call: CallContext
): Promise<User> {
  const context = contextOf(call)
  await rules.attempts.begin('completeRegistration', { context })
  const created = await registrationsOf(rules).use(token, async ({ email }) => ({
    row: await createVerified(rules, email, values, context)
  }))
  if (created === null || created.row === null) throw FST_USERS_REGISTER_BAD_TOKEN()
  const user = rules.rows.toUser(created.row)
  await rules.hooks.run('onAfterRegister', { user }, context)
  return user
}

/** Returns the tokens of registrations by mail. Throws `FST_USERS_INVALID_OPTION` if users register with a password. */
export function registrationsOf ({ registrations }: Rules): SingleUse<MailedRegistration> {
  if (registrations === null) throw FST_USERS_INVALID_OPTION(['registration', "must be 'mail' for this function"])
  return registrations
}

/** Returns the stored row, or null if the e-mail has an account. */
async function createVerified (
  rules: Rules,
  email: string,
  values: RegistrationValues,
  context: EventContext
): Promise<UserRow | null> {
  const { rows, hooks, settings } = rules
  if ((await rows.getByEmail(email)) !== null) return null
  const { password, ...read } = await readNewUser(rules, { ...values, email }, 'self', context)
  const user = { ...read, is_verified: true }
  await hooks.run('onBeforeRegister', { user }, context)
  return await insertUser(rules, user, await settings.passwords.hash(password))
}
