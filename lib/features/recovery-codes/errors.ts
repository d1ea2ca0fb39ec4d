import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof recoveryCodeErrors> {}
}

/** Errors of `recoveryCodes()`. */
export const recoveryCodeErrors = defineErrors({
  RECOVERY_CODE_INVALID: {
    statusCode: 400,
    message: 'The recovery code is wrong or was used before. Try another one.'
  },
  RECOVERY_CODES_NOT_NEEDED: {
    statusCode: 400,
    message: 'The user has no second factor. Add one first.'
  }
})

export const { FST_USERS_RECOVERY_CODE_INVALID, FST_USERS_RECOVERY_CODES_NOT_NEEDED } = recoveryCodeErrors
