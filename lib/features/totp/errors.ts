import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof totpErrors> {}
}

/** Errors of `totp()`. */
export const totpErrors = defineErrors({
  TOTP_CODE_INVALID: {
    statusCode: 400,
    message: 'The code is wrong or was used before. Wait for the next code of the app.'
  },
  TOTP_ALREADY_ACTIVE: {
    statusCode: 400,
    message: 'The user has an authenticator app already. Remove it first.'
  },
  TOTP_NOT_ACTIVE: { statusCode: 404, message: 'The user has no authenticator app.', detail: 'Not Found' },
  TOTP_ENROLMENT_INVALID: {
    statusCode: 400,
    message: 'The enrolment is unknown, expired, replaced or of another session. Begin again.'
  }
})

export const {
  FST_USERS_TOTP_CODE_INVALID,
  FST_USERS_TOTP_ALREADY_ACTIVE,
  FST_USERS_TOTP_NOT_ACTIVE,
  FST_USERS_TOTP_ENROLMENT_INVALID
} = totpErrors
