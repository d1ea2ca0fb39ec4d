import type { Row } from '../contracts/database-adapter.js'
import type { EventContext, ExistingAttempt } from '../contracts/events.js'
import type { NewUser, User, UserRow } from '../contracts/user.js'
import type { CallContext, CreateContext, WriteContext } from '../contracts/users-api.js'
import { FST_USERS_REGISTER_INVALID_PASSWORD, FST_USERS_REGISTER_USER_ALREADY_EXISTS, isUsersError } from '../errors.js'
import { contextOf } from '../sessions/index.js'
import { foldCase } from '../shared/text.js'
import { generateStamp } from '../tokens/index.js'
import { applyPolicy, readPassword } from './credentials.js'
import { parseEmail } from './email.js'
import { defaultValues, requiredFields, writableFields, writableFlags } from './fields.js'
import type { Rules } from './rules.js'
import { invalidUser } from './validation.js'

/** A checked new user, without the password. */
export type ReadUser = Omit<NewUser, 'password'>

/**
 * Stores a user and fires `onAfterRegister`. Order: validation, password policy, `onBeforeRegister`, check for a
 * duplicate e-mail, hash, insert.
 */
export async function registerUser (
  given: Rules,
  values: NewUser,
  { by = 'code', transaction, ...call }: CreateContext
): Promise<User> {
  if (by === 'self') await given.attempts.begin('register', { email: values.email, context: contextOf(call) })
  const rules = transaction === undefined ? given : { ...given, rows: given.rows.within(transaction) }
  const { password, ...user } = await readNewUser(rules, values, by, call)
  const context = { ...contextOf(call), ...(transaction === undefined ? {} : { transaction }) }
  await rules.hooks.run('onBeforeRegister', { user }, context)
  if ((await rules.rows.getByEmail(user.email)) !== null) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
  const row = await insertUser(rules, user, await rules.settings.passwords.hash(password))
  if (row === null) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
  const created = rules.rows.toUser(row)
  await rules.hooks.run('onAfterRegister', { user: created }, context)
  return created
}

/**
 * Registers a user without revealing whether the e-mail has an account (`revealExistingAccounts: false`). In both cases
 * one hash and one insert are done, and the hooks run after the reply.
 */
export async function registerWithoutReveal (rules: Rules, values: NewUser, call: CallContext): Promise<void> {
  const context = contextOf(call)
  await rules.attempts.begin('register', { email: values.email, context })
  const { password, ...user } = await readNewUser(rules, values, 'self', call)
  await rules.hooks.run('onBeforeRegister', { user }, context)
  const { rows, hooks, background } = rules
  const known = await rows.getByEmail(user.email)
  const hashed = await rules.settings.passwords.hash(password)
  // the unique index does not detect this duplicate
  const isOtherForm = known !== null && foldCase(known.email) !== foldCase(user.email)
  const row = isOtherForm ? null : await insertUser(rules, user, hashed)
  background.run(async () => {
    if (row === null) await reportExisting(rules, user.email, 'register', context)
    else await hooks.run('onAfterRegister', { user: rows.toUser(row) }, context)
  }, context.reply)
}

/**
 * Returns true if a user has this e-mail; otherwise false. Fires `onRegisterExisting`, unless the limit of mails to the
 * user is reached.
 */
export async function reportExisting (
  { rows, hooks, attempts }: Rules,
  email: string,
  attempt: ExistingAttempt,
  context: EventContext
): Promise<boolean> {
  const existing = await rows.getByEmail(email)
  if (existing === null) return false
  if (await attempts.allowMail({ purpose: 'notice', email: existing.email })) {
    await hooks.run('onRegisterExisting', { user: rows.toUser(existing), attempt }, context)
  }
  return true
}

/** Returns a new user with its password, checked for this author. */
export async function readNewUser (
  rules: Rules,
  values: NewUser,
  by: NonNullable<WriteContext['by']>,
  call: CallContext
): Promise<NewUser> {
  const {
    settings: {
      schemas: { fields }
    },
    check
  } = rules
  check(values)
  requireValues(values, ['email', 'password', ...requiredFields(fields)])
  const email = parseEmail(values.email) as string // the check accepted it
  const password = readPassword(rules, values.password)
  const user = { email, password, ...writableFlags(values, by), ...writableFields(fields, values, by, true) }
  await applyPolicy(rules, password, user, FST_USERS_REGISTER_INVALID_PASSWORD, call)
  return user
}

/** Throws `FST_USERS_INVALID_USER` with all missing values of a new user. */
export function requireValues (values: object, names: readonly string[]): void {
  // the cast allows access by field name
  const missing = names.filter((name) => (values as Record<string, unknown>)[name] === undefined)
  if (missing.length > 0) {
    throw invalidUser(missing.map((name) => ({ path: `/${name}`, keyword: 'required', message: 'is missing' })))
  }
}

/** Returns the stored row, or null if the e-mail is taken. The unique index decides between parallel calls. */
export async function insertUser (rules: Rules, user: ReadUser, hashed: string): Promise<UserRow | null> {
  try {
    return await rules.rows.insert(newUserRow(rules, user, hashed))
  } catch (error) {
    if (isUsersError(error) && error.fields?.includes('email') === true) return null
    throw error
  }
}

/** Returns the values of a new user with defaults, a security stamp and, if this process generates ids, an id. */
export function newUserRow (
  {
    settings: {
      schemas: { id, fields }
    }
  }: Rules,
  user: ReadUser,
  hashed: string
): Row {
  return {
    ...(id.generate === undefined ? {} : { id: id.generate() }),
    ...defaultValues(fields),
    ...user,
    hashed_password: hashed,
    session_stamp: generateStamp()
  }
}
