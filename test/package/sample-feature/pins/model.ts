import type { Model, ModelBase, ModelExtension } from 'fastify-users/feature'

/** The PINs. Version 1 had the field `code` instead of `hash`, and no `digits`. */
export const pinModel = ({ id }: ModelBase): Model => ({
  name: 'pin',
  table: 'pin',
  fields: {
    id: { type: 'text', maxLength: 64 },
    user_id: { type: 'id', id, references: 'user' },
    hash: { type: 'text', maxLength: 1024 },
    digits: { type: 'integer', nullable: true }
  },
  index: [['user_id']],
  version: 2,
  upgrades: { 2: [{ rename: 'code', to: 'hash' }, { transform: () => ({ digits: 6 }) }] }
})

/** A column of the user, which counts wrong PINs. */
export const wrongPins: ModelExtension = { extends: 'user', fields: { wrong_pins: { type: 'integer', default: 0 } } }
