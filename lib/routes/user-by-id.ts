import type { FastifyRequest } from 'fastify'
import type { Settings } from '../contracts/settings.js'
import type { User, UserId } from '../contracts/user.js'
import { FST_USERS_NOT_FOUND } from '../errors.js'
import type { UsersService } from '../users/index.js'

const kTarget = Symbol('fastify-users.target')
type TargetRequest = FastifyRequest & { [kTarget]: User }

/** Returns the hook that loads the user with the id in the URL. It throws `FST_USERS_NOT_FOUND`. */
export function createTargetLoader (
  users: UsersService,
  { schemas }: Settings
): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const id = schemas.id.parse((request.params as { id: string }).id) as UserId | null
    const user = id === null ? null : await users.get(id)
    if (user === null) throw FST_USERS_NOT_FOUND()
    ;(request as TargetRequest)[kTarget] = user
  }
}

/** Returns the user that the hook of `createTargetLoader` has loaded. */
export function targetOf (request: object): User {
  return (request as TargetRequest)[kTarget]
}

/** The decorator of requests under which the user is stored. */
export const targetDecorator = kTarget
