import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { Settings } from '../contracts/settings.js'

/** A reply that says nothing but its status: without a body, or with `null` where `nullBodies` is set. */
export function sendNothing (reply: FastifyReply, statusCode: number, { nullBodies }: Settings): FastifyReply {
  reply.code(statusCode)
  return nullBodies ? reply.type('application/json').send('null') : reply.send()
}

/** What the API document says of such a reply. */
export function emptyReply ({ nullBodies }: Settings, description: string): object {
  return nullBodies
    ? { 'x-response-description': description, content: { 'application/json': { schema: Type.Null() } } }
    : Type.Null({ description })
}
