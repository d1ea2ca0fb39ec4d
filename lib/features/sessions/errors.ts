import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof sessionsErrors> {}
}

/** Errors of `sessions()`. */
export const sessionsErrors = defineErrors({
  SESSION_NOT_FOUND: {
    statusCode: 404,
    message: 'The user has no session with this id. It may have ended.',
    detail: 'Not Found'
  },
  SESSION_NOT_ENDABLE: {
    statusCode: 409,
    message: 'This session cannot be ended alone. End all sessions of the user, or wait until it expires.'
  }
})

export const { FST_USERS_SESSION_NOT_FOUND, FST_USERS_SESSION_NOT_ENDABLE } = sessionsErrors
