import { randomUUID } from 'node:crypto'
import type { ExternalUser, StoredUserRows, UserDependents } from '../contracts/external-user.js'
import type { UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_REGISTER_USER_ALREADY_EXISTS } from '../errors.js'
import { createUnusableHash } from '../passwords/index.js'
import { contextOf, deleteStoredTokens } from '../sessions/index.js'
import { parseEmail } from './email.js'
import { recordProof } from './email-proof.js'
import { requiredFields, writableFields } from './fields.js'
import { newUserRow, requireValues, type ReadUser } from './registration.js'
import { removeLoginMethods } from './login-methods.js'
import type { Rules } from './rules.js'

/**
 * Creates a user without a password and stores the dependent rows with it. Returns null, and stores nothing, if one of
 * these rows exists already. Order: validation, `onBeforeRegister`, check for a duplicate e-mail, insert,
 * `onAfterRegister`.
 */
export async function createExternalUser (
  rules: Rules,
  values: ExternalUser,
  dependents: UserDependents,
  call: CallContext
): Promise<StoredUserRows | null> {
  const {
    rows,
    hooks,
    settings: { passwords }
  } = rules
  const user = readExternalUser(rules, values)
  const context = contextOf(call)
  await hooks.run('onBeforeRegister', { user }, context)
  if ((await rows.getByEmail(user.email)) !== null) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
  const row = newUserRow(rules, user, await createUnusableHash(passwords))
  const stored = await rows.insertWithDependents(row, dependents)
  if (stored === null) return null
  const [created, ...others] = stored
  await hooks.run('onAfterRegister', { user: rows.toUser(created) }, context)
  return [(await rows.getRow(created.id as UserId)) ?? created, ...others] // a hook may have changed the user
}

/** Creates an account that belongs to no person. No mail reaches its e-mail (RFC 2606, section 2). */
export async function createServiceUser (
  rules: Rules,
  values: Readonly<Record<string, unknown>>,
  dependents: UserDependents
): Promise<StoredUserRows | null> {
  const { rows, settings, check } = rules
  const { fields } = settings.schemas
  check(values)
  requireValues(values, requiredFields(fields))
  const user: ReadUser = {
    email: `${randomUUID()}@service.invalid`,
    ...writableFields(fields, values, 'code', true),
    is_active: true,
    is_superuser: false,
    is_verified: true
  }
  const hash = await createUnusableHash(settings.passwords)
  return await rows.insertWithDependents(newUserRow(rules, user, hash), dependents)
}

/**
 * Hands an unverified user over to the person who proved the mailbox at a provider. The password and all other login
 * methods of the person who registered it are deleted. Returns null if the user is inactive, verified or has changed.
 */
export async function reclaimUnverifiedUser (rules: Rules, id: UserId, call: CallContext): Promise<UserRow | null> {
  const row = await rules.rows.getRow(id)
  if (row === null || row.is_verified) return null
  const changes = { hashed_password: await createUnusableHash(rules.settings.passwords) }
  return await recordProof(rules, row, { changes, renews: false }, contextOf(call))
}

/**
 * Deletes a user that a first login through a provider created, after that login was refused. If the application has
 * changed the user meanwhile, only the provider account is deleted.
 */
export async function deleteRefusedUser (rules: Rules, row: UserRow, call: CallContext): Promise<void> {
  const { rows, hooks } = rules
  const { id, email, hashed_password: hash, session_stamp: stamp } = row
  await removeLoginMethods(rules, row, 'all')
  await deleteStoredTokens(rules, row)
  const unchanged = { email, hashed_password: hash, ...(stamp === undefined ? {} : { session_stamp: stamp }) }
  if ((await rows.remove(id as UserId, unchanged)) === 1) {
    await hooks.run('onAfterDelete', { user: rows.toUser(row) }, contextOf(call))
  }
}

function readExternalUser (rules: Rules, values: ExternalUser): ReadUser {
  const {
    settings: {
      schemas: { fields }
    },
    check
  } = rules
  const { email, is_verified: isVerified } = values
  const user = { email, is_verified: isVerified, ...writableFields(fields, values, 'code', true) }
  check(user)
  requireValues(user, requiredFields(fields))
  return { ...user, email: parseEmail(email) as string } // the check accepted it
}
