import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Backend } from '../contracts/backend.js'
import type { DatabaseAdapter, Row } from '../contracts/database-adapter.js'
import type { EventContext } from '../contracts/events.js'
import type { Settings } from '../contracts/settings.js'
import type { User, UserId } from '../contracts/user.js'
import { isUsersError } from '../errors.js'
import type { Background, HookRegistry } from '../hooks/index.js'
import type { SerializeCookie } from '../contracts/cookies.js'
import { networkOf } from '../shared/network.js'
import { fingerprint } from '../tokens/index.js'
import { createHostCookie } from './browser-cookie.js'
import { deviceModel as model } from './device-model.js'

/** Seconds for which a device is remembered after its last login. Browsers keep cookies for 400 days at most. */
export const DEVICE_SECONDS = 400 * 86_400
/** Number of devices that are remembered per user. */
export const MAX_DEVICES = 20
/** A login renews the time of a device if less than this share of it is left. */
const RENEWED_PART = 0.9
const USER_AGENT_LENGTH = 300

/** The services that the detection of new devices needs. */
export interface DeviceParts {
  readonly store: DatabaseAdapter
  readonly settings: Settings
  readonly background: Background
  readonly hooks: HookRegistry
  readonly serializeCookie: SerializeCookie
  /** Keys of the stored digests: the first creates, all check. */
  readonly keys: readonly string[]
}

/** A login that has succeeded. */
export interface DeviceLogin {
  readonly user: User
  readonly backend: Backend
  readonly method: string
  readonly context: EventContext
}

/** Recognizes the devices of users. */
export interface Devices {
  /**
   * Remembers the device of a login after the reply has been sent, and fires `onNewDevice` if the user has logged in
   * before, but not from this device. Adds the device cookie to the reply of a cookie backend. Never throws.
   */
  recordLogin(login: DeviceLogin): void
  /** Forgets all devices of a user. */
  forget(user: Pick<User, 'id'>): Promise<void>
}

/** Creates the detection of new devices. */
export function createDevices (parts: DeviceParts): Devices {
  const { store, settings, background, hooks, keys } = parts
  const { clock } = settings

  /** Stores a device. Returns false if a login at the same time has stored it. */
  async function add (row: Row): Promise<boolean> {
    try {
      await store.create(model, row)
      return true
    } catch (error) {
      if (isUsersError(error) && error.code === 'FST_USERS_UNIQUE_VIOLATION') return false
      throw error
    }
  }

  /** Remembers a device. Returns true if it is new and not the first device of the user. */
  async function remember (userId: UserId, device: string): Promise<boolean> {
    const user = String(userId)
    const ids = keys.map((key) => fingerprint(key, 'device', user, device))
    const known = await store.findMany(model, { user_id: user }, { limit: MAX_DEVICES * 2 })
    const found = known.find(({ id }) => ids.includes(String(id)))
    const expires = new Date(clock() + DEVICE_SECONDS * 1000)
    if (found !== undefined) {
      const isOld = timeLeft(found, clock()) < DEVICE_SECONDS * RENEWED_PART * 1000
      if (isOld) await store.update(model, { id: found.id as string }, { expires_at: expires })
      return timeLeft(found, clock()) <= 0
    }
    const isAdded = await add({ id: ids[0], user_id: user, expires_at: expires })
    const surplus = known.sort((a, b) => timeLeft(b, 0) - timeLeft(a, 0)).slice(MAX_DEVICES - 1)
    for (const { id } of surplus) await store.delete(model, { id: id as string })
    return isAdded && known.length > 0
  }

  return {
    recordLogin ({ user, backend, method, context }) {
      const { request, reply } = context
      if (request === null) return
      const device = deviceKeyOf(parts, backend, request, reply)
      const { ip, userAgent } = { ip: request.ip ?? null, userAgent: request.headers['user-agent'] ?? null }
      background.run(async () => {
        if (!(await remember(user.id as UserId, device))) return
        await hooks.run('onNewDevice', { user, backend: backend.name, method, ip, userAgent }, context)
      }, reply)
    },

    async forget ({ id }) {
      await store.delete(model, { user_id: String(id) })
    }
  }
}

/** Returns the milliseconds until a device is forgotten. */
function timeLeft ({ expires_at: expires }: Row, now: number): number {
  return (expires as Date).getTime() - now
}

/**
 * Returns a text that is the same for each login from one device. Browsers with a cookie backend have a cookie with a
 * random value. Other clients are recognized by their program, without its version, and their network.
 */
function deviceKeyOf (
  parts: DeviceParts,
  { transport }: Backend,
  request: FastifyRequest,
  reply: FastifyReply | null
): string {
  if (!transport.ambient || reply === null) {
    const program = (request.headers['user-agent'] ?? '').slice(0, USER_AGENT_LENGTH).replace(/[\d._]+/g, '')
    return `client ${networkOf(request.ip)} ${program}`
  }
  return `browser ${createHostCookie(parts, transport, 'device', DEVICE_SECONDS).set(request, reply)}`
}
