import { bearerTransport, databaseStrategy, jwtStrategy, type UsersOptions } from 'fastify-users'
import { memory } from 'fastify-users/memory'

const backend = { name: 'jwt', transport: bearerTransport(), strategy: jwtStrategy({ lifetimeSeconds: 3600 }) }

export const withoutSecret: UsersOptions = { adapter: memory(), backends: [backend] }                                       // MISSING
export const mistyped: UsersOptions = { adapter: memory(), secret: 'x', backends: [backend], requireVerified: true }        // UNKNOWN
export const swapped: UsersOptions = { adapter: memory(), secret: 'x', backends: [{ name: 'x', transport: databaseStrategy({ lifetimeSeconds: 1 }), strategy: databaseStrategy({ lifetimeSeconds: 1 }) }] } // SWAPPED
