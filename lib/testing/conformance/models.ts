import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { DatabaseAdapter, Row } from '../../contracts/database-adapter.js'
import type { Field, Model } from '../../contracts/models.js'
import { type IdKind, integerId, objectIdId, uuidId } from '../../../schemas/index.js'

const uuid = uuidId()

/** Model of users with at least one field of each type. */
export const User: Model = {
  name: 'user',
  table: 'user',
  fields: {
    id: { type: 'id', id: uuid },
    email: { type: 'text', maxLength: 320, ignoreCase: true },
    hashed_password: { type: 'text', maxLength: 1024 },
    is_active: { type: 'boolean' },
    session_stamp: { type: 'text', maxLength: 43, nullable: true, optional: true },
    nickname: { type: 'text', maxLength: 80, nullable: true, ignoreCase: true },
    credits: { type: 'integer', nullable: true },
    ratio: { type: 'number', nullable: true },
    settings: { type: 'json', nullable: true },
    seen_at: { type: 'time', nullable: true },
    order: { type: 'text', nullable: true }
  },
  unique: [['email']],
  index: [['nickname']]
}

/** Model of session tokens. Its primary key is not named `id`. */
export const AccessToken: Model = {
  name: 'accesstoken',
  table: 'accesstoken',
  fields: {
    token: { type: 'text', maxLength: 43 },
    user_id: { type: 'id', id: uuid, references: 'user' },
    created_at: { type: 'time' }
  },
  index: [['user_id'], ['created_at']]
}

/** Model of team members with a unique group of two fields, one of them nullable. */
export const Membership: Model = {
  name: 'membership',
  table: 'membership',
  fields: {
    id: { type: 'id', id: uuid },
    user_id: { type: 'id', id: uuid, references: 'user' },
    team: { type: 'text', maxLength: 100 },
    member_number: { type: 'text', maxLength: 320, nullable: true }
  },
  unique: [['team', 'member_number']],
  index: [['user_id']]
}

/** Model with fields that have a default. */
export const Counter: Model = {
  name: 'counter',
  table: 'counter',
  fields: {
    name: { type: 'text', maxLength: 20 },
    count: { type: 'integer', default: 3 },
    is_open: { type: 'boolean', default: false },
    settings: { type: 'json', default: { steps: [1] } },
    unit: { type: 'text', maxLength: 20, nullable: true, default: 'knights' }
  }
}

const customId: IdKind<string> = {
  name: 'custom',
  schema: Type.String(),
  storage: 'text',
  maxLength: 30,
  parse: (text) => (/^usr_[0-9a-z]+$/.test(text) ? text : null),
  generate: () => `usr_${randomUUID().replaceAll('-', '').slice(0, 24)}`
}

/** Each id kind with a function that returns an unused id, a model of users, and a model of their tokens. */
export const idKinds = [
  { kind: uuid, absent: () => randomUUID() },
  { kind: integerId(), absent: () => 2_147_483_647 },
  { kind: objectIdId(), absent: () => 'ffffffffffffffffffffffff' },
  { kind: customId, absent: () => 'usr_none' }
].map(({ kind, absent }: { kind: IdKind; absent: () => string | number }) => {
  const users = `person_${kind.name}`
  const id: Field = { type: 'id', id: kind }
  const owner: Model = { name: users, table: users, fields: { id, email: { type: 'text', maxLength: 320 } } }
  const token: Model = {
    name: `${users}_token`,
    table: `${users}_token`,
    fields: { token: { type: 'text', maxLength: 43 }, user_id: { ...id, references: users } }
  }
  return { kind, absent, owner, token }
})

/** All models of the suite. */
export const models: readonly Model[] = [
  User,
  AccessToken,
  Membership,
  ...idKinds.flatMap(({ owner, token }) => [owner, token])
]

/** Creates a user with the given fields and defaults for the others. */
export async function createUserRow (adapter: DatabaseAdapter, fields: Row = {}): Promise<Row> {
  return await adapter.create(User, {
    id: randomUUID(),
    email: `${randomUUID()}@camelot.bt`,
    hashed_password: 'hash',
    is_active: true,
    ...fields
  })
}

/** Creates a token of a user. */
export async function createToken (
  adapter: DatabaseAdapter,
  user: Row,
  token: string = randomUUID(),
  createdAt = new Date()
): Promise<Row> {
  return await adapter.create(AccessToken, { token, user_id: user['id'], created_at: createdAt })
}
