import type { FeatureKit, Row, User, UserRow } from 'fastify-users/feature'
import { pinModel } from './model.js'

/** Reads and writes PINs. */
export interface PinRows {
  has(user: User): Promise<boolean>
  get(user: User): Promise<Row | null>
  restore(row: Row): Promise<void>
  set(user: User, pin: string): Promise<void>
  /** Returns true if the PIN is right. Counts wrong ones. */
  isRight(user: UserRow, pin: string): Promise<boolean>
  remove(user: User): Promise<number>
}

export function createPinRows ({ store, settings, model: modelNamed }: FeatureKit): PinRows {
  const model = pinModel({ id: settings.schemas.id, tenant: settings.name })
  const user = modelNamed('user')
  const { passwords } = settings

  return {
    has: async ({ id }) => (await store.findOne(model, { user_id: id })) !== null,
    get: async ({ id }) => await store.findOne(model, { user_id: id }),
    async restore (row) {
      await store.create(model, row)
    },
    async set ({ id }, pin) {
      const values = { hash: await passwords.hash(pin), digits: pin.length }
      if ((await store.update(model, { user_id: id }, values)) > 0) return
      await store.create(model, { id: String(id), user_id: id, ...values })
    },
    async isRight ({ id }, pin) {
      const row = await store.findOne(model, { user_id: id })
      if (row !== null && (await passwords.verifyAndUpdate(pin, String(row['hash']))).ok) return true
      await store.update(user, { id }, { wrong_pins: { increment: 1 } })
      return false
    },
    remove: ({ id }) => store.delete(model, { user_id: id })
  }
}
