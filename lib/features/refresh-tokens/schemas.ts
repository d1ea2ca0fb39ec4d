import { component, Type, type Static } from '../../feature/index.js'
import { TOKEN_MAX_LENGTH } from './token.js'

/** The body of a refresh (RFC 6749, section 6). */
export const RefreshBody = Type.Object(
  {
    grant_type: Type.Optional(Type.Literal('refresh_token')),
    refresh_token: Type.String({ minLength: 1, maxLength: TOKEN_MAX_LENGTH })
  },
  component('RefreshRequest')
)
export type RefreshBody = Static<typeof RefreshBody>

/** The body of a revocation (RFC 7009, section 2.1). */
export const RevokeBody = Type.Object(
  {
    token: Type.String({ minLength: 1, maxLength: 4096 }),
    token_type_hint: Type.Optional(Type.String({ maxLength: 64 }))
  },
  component('RevocationRequest')
)
export type RevokeBody = Static<typeof RevokeBody>
