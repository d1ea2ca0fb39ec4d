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
        'The error code, or `{ code, reason, reasons }`, or the list of problems of a body that does not match its schema.'
    })
  },
  component('Error')
)
export type ErrorReply = Static<typeof ErrorReply>

/** `detail` of the reply to a refused password. */
export const RefusedPassword = Type.Object(
  {
    code: Type.String(),
    reason: Type.Unknown({ description: 'The messages of all reasons as one text.' }),
    reasons: Type.Array(
      Type.Object(
        {
          code: Type.String({ description: 'Code of the reason, such as `TOO_SHORT`.' }),
          message: Type.String({ description: 'English text for the user.' })
        },
        { additionalProperties: true, description: 'A reason and the values of its rule.' }
      )
    )
  },
  component('RefusedPassword')
)
export type RefusedPassword = Static<typeof RefusedPassword>
