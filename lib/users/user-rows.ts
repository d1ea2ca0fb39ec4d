import type { Row, MaybePromise, Where, DatabaseAdapter } from '../contracts/database-adapter.js'
import type { UserField } from '../contracts/feature.js'
import type { Model } from '../contracts/models.js'
import type { StoredUserRows, UserDependents } from '../contracts/external-user.js'
import type { User, UserId, UserRow } from '../contracts/user.js'
import type { UserSchemas } from '../../schemas/index.js'
import { OptionalKind } from '@sinclair/typebox'
import type { SessionUsers } from '../sessions/index.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { foldCase } from '../shared/text.js'
import { fingerprint, isSameSecret } from '../tokens/index.js'
import { insertWithDependents } from './dependent-rows.js'
import { storedForms } from './email.js'

/** Reads and writes user rows. */
export interface UserRows extends SessionUsers {
  /**
   * Returns the user with an e-mail. Other programs may have stored the e-mail in another form, so all forms are looked
   * up.
   */
  getByEmail(email: string): Promise<UserRow | null>
  insert(row: Row): Promise<UserRow>
  /**
   * Stores a user and its dependent rows, atomically if the store can. Returns null, and stores nothing, if a dependent
   * row exists already. Throws `FST_USERS_REGISTER_USER_ALREADY_EXISTS` if the e-mail is taken.
   */
  insertWithDependents(row: Row, dependents: UserDependents): Promise<StoredUserRows | null>
  /** Deletes a user if the row still has these values. */
  remove(id: UserId, unchanged?: Where): Promise<number>
  /** Returns the same functions for a transaction of the application. Throws `FST_USERS_INVALID_OPTION`. */
  within(transaction: unknown): UserRows
  /** Returns the stamps with which `hasStamp` is true: the column or, if it is empty, one for each secret. */
  stampsOf(row: UserRow): readonly string[]
  /** Returns up to `limit` users who are active superusers. */
  activeSuperusers(limit: number): Promise<UserRow[]>
}

/** `userFields` are the columns of features that users have as properties. */
export function createUserRows (
  store: DatabaseAdapter,
  model: Model,
  schemas: UserSchemas,
  stampKeys: readonly [string, ...string[]],
  userFields: readonly (readonly [name: string, field: UserField])[] = []
): UserRows {
  // features add other properties to users in replies
  const keys = Object.keys(schemas.UserRead.properties).filter((key) => Object.hasOwn(model.fields, key))
  const absent = new Set(
    Object.entries(schemas.fields)
      .filter(([, schema]) => OptionalKind in schema)
      .map(([name]) => name)
  )

  return {
    parseId (text) {
      const id = schemas.id.parse(text)
      return id !== null && String(id) === text ? (id as UserId) : null
    },

    getRow: (id) => store.findOne(model, { id }) as MaybePromise<UserRow | null>,

    async getByEmail (email) {
      const forms = storedForms(email)
      // one look-up for each form: a database whose character set lacks a letter of one form refuses a list with it
      const found = await Promise.all(forms.map(async (form) => await store.findOne(model, { email: form })))
      return closestRow(found as unknown as (UserRow | null)[], forms)
    },

    insert: async (row) => (await store.create(model, row)) as unknown as UserRow,
    insertWithDependents: (row, dependents) => insertWithDependents(store, [model, row], dependents),
    update: (where, changes) => store.update(model, where, changes),
    remove: (id, unchanged = {}) => store.delete(model, { ...unchanged, id }),
    within (transaction) {
      if (store.within === undefined) throw FST_USERS_INVALID_OPTION(['transaction', 'is not supported by this adapter'])
      return createUserRows(store.within(transaction), model, schemas, stampKeys, userFields)
    },
    async activeSuperusers (limit) {
      // rows of the user model
      return (await store.findMany(model, { is_superuser: true, is_active: true }, { limit })) as unknown as UserRow[]
    },

    toUser (row) {
      const source = row as unknown as Row // the cast allows access by field name
      const user: Row = {}
      for (const key of keys) {
        const value = source[key]
        // an optional field without a value is absent, not null
        if (value !== null || !absent.has(key)) user[key] = value
      }
      for (const [name, field] of userFields) user[name] = field.read(source[name])
      return user as unknown as User // the keys are those of UserRead
    },

    stampOf: (row) => row.session_stamp ?? fingerprint(stampKeys[0], row.hashed_password),

    hasStamp: (row, stamp) => stampsOf(row, stampKeys).some((valid) => isSameSecret(valid, stamp)),
    stampsOf: (row) => stampsOf(row, stampKeys)
  }
}

/** Returns the stored stamp or, if there is none, one derived stamp for each key. */
function stampsOf ({ session_stamp: stamp, hashed_password: hash }: UserRow, keys: readonly string[]): string[] {
  return typeof stamp === 'string' ? [stamp] : keys.map((key) => fingerprint(key, hash))
}

/**
 * Returns the row of the first form that has one, in the same case if possible. Rows that only a wider collation of the
 * database matches are ignored.
 */
function closestRow (found: readonly (UserRow | null)[], forms: readonly string[]): UserRow | null {
  const rows = found.filter((row) => row !== null)
  const spellings = [(text: string) => text, foldCase]
  for (const form of forms) {
    for (const spell of spellings) {
      const row = rows.find(({ email }) => spell(email) === spell(form))
      if (row !== undefined) return row
    }
  }
  return null
}
