import { defineFeature, Type, type Feature, type LoginStep, type User } from 'fastify-users/feature'
import { pinErrors } from './errors.js'
import { pinModel, wrongPins } from './model.js'
import { Pin, registerPinRoutes } from './routes.js'
import { createPinRows, type PinRows } from './rows.js'

declare module 'fastify-users' {
  interface UsersEvents { onAfterSetPin: { user: User } }
  interface GuardFlags { pin?: boolean }
  interface UsersFeatures { pins: PinsApi }
}

/** The result of `app.users.feature('pins')`. */
export interface PinsApi {
  /** Removes the PIN of a user, unless it is the last login method. */
  remove(user: User): Promise<void>
}

/** A PIN as a second step of logins with a password, and as a login method of its own. */
export function pins (): Feature<PinsApi> {
  return defineFeature<PinsApi>({
    name: 'pins',
    models: (base) => [pinModel(base), wrongPins],
    errors: pinErrors.definitions,
    events: ['onAfterSetPin'],
    loginSteps: ['pin'],
    guardFlags: {
      pin: {
        check: (value) => typeof value === 'boolean' ? null : 'must be true or false',
        accepts: ({ session }, value) => value !== true || session.methods.includes('pin')
      }
    },
    replyFields: () => ({ has_pin: Type.Boolean() }),
    setup (kit) {
      const rows = createPinRows(kit)
      return {
        routes: (scope) => registerPinRoutes(scope, kit, rows),
        loginSteps: [pinStep(rows)],
        loginMethods: {
          count: async (user) => await rows.has(user) ? 1 : 0,
          removeAll: (user) => rows.remove(user)
        },
        replyFields: { has_pin: (user) => rows.has(user) },
        api: {
          async remove ({ id }) {
            const row = await kit.rows.getRow(id)
            if (row === null) return
            const pin = await rows.get(row)
            if (pin === null) return
            await kit.loginMethods.removeOne(row, {
              remove: () => rows.remove(row),
              restore: () => rows.restore(pin),
              refusal: pinErrors.FST_USERS_PIN_LAST_LOGIN_METHOD
            })
          }
        }
      }
    }
  })
}

function pinStep (rows: PinRows): LoginStep {
  const body = Type.Object({ pin: Pin })
  return {
    name: 'pin',
    body,
    errors: ['PIN_WRONG'],
    needed: async ({ user, methods }) => !methods.includes('pin') && await rows.has(user),
    async verify ({ user }, answer) {
      if (!(await rows.isRight(user, String((answer as { pin: string }).pin)))) throw pinErrors.FST_USERS_PIN_WRONG()
    }
  }
}
