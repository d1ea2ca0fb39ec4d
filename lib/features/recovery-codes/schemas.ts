import { component, Type, type Static } from '../../feature/index.js'
import { CODE_MAX_LENGTH } from './code-format.js'

const Time = Type.String({ format: 'date-time' })

/** The state of a user's recovery codes. */
export const RecoveryCodesRead = Type.Object(
  { remaining: Type.Integer(), created_at: Type.Union([Time, Type.Null()]) },
  component('RecoveryCodesRead')
)

/** New codes. */
export const RecoveryCodesCreated = Type.Object(
  { codes: Type.Array(Type.String(), { description: 'The codes. They are shown only in this reply.' }) },
  component('RecoveryCodesCreated')
)

/** The answer to the login step. */
export const RecoveryCodeAnswer = Type.Object({
  code: Type.String({ minLength: 1, maxLength: CODE_MAX_LENGTH, examples: ['9KQ2-7XDM-4RJT-0VWB'] })
})
export type RecoveryCodeAnswer = Static<typeof RecoveryCodeAnswer>
