import type { ExternalUser, StoreUser } from '../contracts/feature-host.js'
import type { UserId, UserRow } from '../contracts/user.js'
import type { CallContext } from '../contracts/users-api.js'
import { FST_USERS_REGISTER_USER_ALREADY_EXISTS } from '../errors.js'
import { hashOfNoPassword } from '../passwords/index.js'
import { generateStamp } from '../tokens/index.js'
import { parseEmail } from './email.js'
import { requiredFields, writableFields } from './fields.js'
import { insertUserWith, requireValues, type ReadUser } from './registration.js'
import { contextOf, type Rules } from './rules.js'
import { destroyStored } from './sessions.js'

type Link = (store: StoreUser) => Promise<UserRow | null>

/** Has `link` store a user without a password, and fires `onAfterRegister`. Order: form, onBeforeRegister, address, link, onAfterRegister. */
export async function createExternalUser (rules: Rules, values: ExternalUser, link: Link, call: CallContext): Promise<UserRow | null> {
  const { rows, hooks, settings: { passwords } } = rules
  const user = readExternalUser(rules, values)
  const context = contextOf(call)
  await hooks.run('onBeforeRegister', { user }, context)
  if (await rows.getByEmail(user.email) !== null) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
  const hashed = await hashOfNoPassword(passwords)
  const row = await linkOrRemove(rules, link, async (dependents) => {
    const stored = await insertUserWith(rules, user, hashed, dependents)
    if (stored === null) throw FST_USERS_REGISTER_USER_ALREADY_EXISTS()
    return stored
  })
  if (row !== null) await hooks.run('onAfterRegister', { user: rows.toUser(row) }, context)
  return row
}

/** Gives a user whose address was never proved to somebody who did prove it; null when it is verified or changed meanwhile, or `link` gives false. */
export async function reclaimUser (rules: Rules, id: UserId, link: () => Promise<boolean>): Promise<UserRow | null> {
  const { rows, settings: { passwords } } = rules
  const row = await rows.getRow(id)
  if (row === null) return null
  const { email, hashed_password: old } = row
  const wiped = { hashed_password: await hashOfNoPassword(passwords), session_stamp: generateStamp() }
  if (await rows.update({ id, email, hashed_password: old, is_verified: false }, wiped) !== 1) return null
  await destroyStored(rules, row)
  if (!await link()) return null
  await rows.update({ id, email, is_verified: false }, { is_verified: true })     // last: as long as it is not, all of this is done again
  return await rows.getRow(id)
}

function readExternalUser (rules: Rules, values: ExternalUser): ReadUser {
  const { settings: { schemas: { fields } }, check } = rules
  const { email, is_verified: isVerified } = values
  const user = { email, is_verified: isVerified, ...writableFields(fields, values, 'code', true) }
  check(user)
  requireValues(user, requiredFields(fields))
  return { ...user, email: parseEmail(email) as string }     // the check accepted it
}

/** A user whom nothing leads to must not stay. */
async function linkOrRemove ({ rows, background }: Rules, link: Link, store: StoreUser): Promise<UserRow | null> {
  const made: UserRow[] = []
  let linked: UserRow | null = null
  try {
    linked = await link(async (dependents) => {
      const stored = await store(dependents)
      made.push(stored[0])
      return stored
    })
    return linked
  } finally {
    if (linked === null) for (const { id } of made) await rows.remove(id as UserId).catch((failure: unknown) => { background.run(() => Promise.reject(failure)) })     // logged
  }
}
