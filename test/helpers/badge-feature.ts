import { hash } from 'node:crypto'
import { defineErrors, factorEvents, SECOND_FACTOR_GROUP, Type, type Feature, type LoginStep, type Model } from '../../lib/feature/index.js'
import type { FeatureKit, User, UserRow } from '../../lib/index.js'

const errors = defineErrors({ BADGE_WRONG: { statusCode: 400, message: 'The badge is wrong. Show your own.' } })

const badge: Model = {
  name: 'badge',
  table: 'badge',
  fields: { user_id: { type: 'text', maxLength: 64 }, number: { type: 'text', maxLength: 43 } },
  unique: [['user_id']]
}

/** Functions of the feature `badges`. */
export interface Badges {
  /** The kit of the feature. */
  readonly kit: FeatureKit
  /** Gives a badge to a user, without further consequences. */
  add(user: { id: unknown }, number: string): Promise<void>
}

/** The number of each badge in tests. */
export const NUMBER = 'badge-0001'

const digest = (text: string): string => hash('sha256', text, 'base64url')
const Body = Type.Object({ number: Type.String({ minLength: 4, maxLength: 64 }) })

/** A sample second factor: the number of a badge. Users can add it during a login if the policy requires it. */
export function badges ({ canEnrol = true, isAsked = true } = {}): Feature<Badges> {
  return {
    name: 'badges',
    models: () => [badge],
    errors: errors.definitions,
    events: factorEvents,
    loginSteps: ['badge', 'badge-enrol'],
    setup (kit) {
      const { store, secondFactors } = kit
      const has = async ({ id }: User | UserRow): Promise<boolean> =>
        (await store.findOne(badge, { user_id: String(id) })) !== null
      const show: LoginStep<typeof Body> = {
        name: 'badge',
        group: SECOND_FACTOR_GROUP,
        needed: async (attempt) => isAsked && await has(attempt.user) && await secondFactors.isNeeded(attempt),
        body: Body,
        errors: ['BADGE_WRONG'],
        async verify ({ user }, { number }) {
          const row = await store.findOne(badge, { user_id: String(user.id), number: digest(number) })
          if (row === null) throw errors.FST_USERS_BADGE_WRONG()
          return { methods: ['otp'] }
        }
      }
      const enrol: LoginStep<typeof Body> = {
        name: 'badge-enrol',
        group: SECOND_FACTOR_GROUP,
        needed: async (attempt) => canEnrol && await secondFactors.mustEnrol(attempt),
        body: Body,
        async verify ({ user }, { number }) {
          const row = { user_id: String(user.id), number: digest(number) }
          await store.create(badge, row)
          return { methods: ['otp'], added: { method: 'badge', undo: () => store.delete(badge, row) } }
        }
      }
      return {
        loginSteps: [show, enrol],
        secondFactors: [{
          name: 'badge',
          count: async (user) => await has(user) ? 1 : 0,
          removeAll: ({ id }) => store.delete(badge, { user_id: String(id) })
        }],
        api: {
          kit,
          async add ({ id }, number) {
            await store.create(badge, { user_id: String(id), number: digest(number) })
          }
        }
      }
    }
  }
}
