import { defineErrors, type ErrorCodesOf, type User } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof refreshTokenErrors> {}
}

declare module '../../contracts/events.js' {
  interface UsersEvents {
    /**
     * A client presented a refresh token that was used before, so either it or an earlier client has stolen the token.
     * The session has ended. `session` is its id.
     */
    onRefreshTokenReused: { user: User; backend: string; session: string }
  }
}

/** Names of the events of the feature. */
export const refreshTokenEvents = ['onRefreshTokenReused'] as const

/** Errors of `refreshTokens()`. */
export const refreshTokenErrors = defineErrors({
  REFRESH_TOKEN_INVALID: {
    statusCode: 400,
    message: 'The refresh token is unknown, used, expired or revoked. Log in again.'
  }
})

export const { FST_USERS_REFRESH_TOKEN_INVALID } = refreshTokenErrors
