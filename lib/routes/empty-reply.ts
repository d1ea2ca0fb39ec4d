import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type { Settings } from '../contracts/settings.js'

/** Sends a reply without a body, or with the JSON `null` if the option `nullBodies` is set. */
export function sendEmptyReply (reply: FastifyReply, statusCode: number, { nullBodies }: Settings): FastifyReply {
  reply.code(statusCode)
  return nullBodies ? reply.type('application/json').send('null') : reply.send()
}

/** Returns the response schema of such a reply. */
export function emptyReplySchema ({ nullBodies }: Settings, description: string): object {
  return nullBodies
    ? { 'x-response-description': description, content: { 'application/json': { schema: Type.Null() } } }
    : Type.Null({ description })
}
