import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof accountErrors> {}
}

/** Errors of `account()`. */
export const accountErrors = defineErrors({
  UNDO_DELETION_BAD_TOKEN: {
    statusCode: 400,
    message: 'The deletion cannot be undone: the token is wrong or was used, or the account is deleted.'
  }
})

export const { FST_USERS_UNDO_DELETION_BAD_TOKEN } = accountErrors
