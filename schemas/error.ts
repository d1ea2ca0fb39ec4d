import { Type, type Static } from '@sinclair/typebox'
import { component } from './common.js'

/** An error reply: Fastify's own fields and `detail`, the contract's value. */
export const ErrorReply = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String(),
    error: Type.String(),
    message: Type.String(),
    detail: Type.Unknown({
      description:
        'The error word, or `{ code, reason }`, or the list of problems of a body that does not fit its schema.'
    })
  },
  component('Error')
)
export type ErrorReply = Static<typeof ErrorReply>
