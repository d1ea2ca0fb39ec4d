import { Type, type Static } from '@sinclair/typebox'
import { component } from './common.js'

/** Error reply: the fields of Fastify's error replies, and `detail` in the form of FastAPI Users. */
export const ErrorReply = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String(),
    error: Type.String(),
    message: Type.String(),
    detail: Type.Unknown({
      description:
        'The error code, or `{ code, reason }`, or the list of problems of a body that does not match its schema.'
    })
  },
  component('Error')
)
export type ErrorReply = Static<typeof ErrorReply>
