import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof passkeyErrors> {}
}

/** Errors of `passkeys()`. */
export const passkeyErrors = defineErrors({
  PASSKEY_CHALLENGE_INVALID: {
    statusCode: 400,
    message: 'The ticket of the passkey ceremony is unknown, used or expired, or belongs to another browser. Start again.'
  },
  PASSKEY_INVALID: {
    statusCode: 400,
    message: 'The passkey is unknown, or its response is not valid. Try another passkey or another way to log in.'
  },
  PASSKEY_NOT_FOUND: {
    statusCode: 404,
    message: 'The user has no passkey with this id. Check the id.',
    detail: 'Not Found'
  },
  PASSKEY_NAME_INVALID: {
    statusCode: 400,
    message: 'The name of a passkey must have 1 to 100 characters. Choose another one.'
  },
  PASSKEY_ALREADY_REGISTERED: {
    statusCode: 400,
    message: 'This passkey is registered already. Use another one.'
  },
  PASSKEY_LIMIT_REACHED: { statusCode: 400, message: 'The user has too many passkeys. Delete one first.' },
  PASSKEY_LAST_LOGIN_METHOD: {
    statusCode: 400,
    message: 'The passkey is the only way to log in. Set a password or add another passkey first.'
  }
})

export const {
  FST_USERS_PASSKEY_CHALLENGE_INVALID,
  FST_USERS_PASSKEY_INVALID,
  FST_USERS_PASSKEY_NOT_FOUND,
  FST_USERS_PASSKEY_NAME_INVALID,
  FST_USERS_PASSKEY_ALREADY_REGISTERED,
  FST_USERS_PASSKEY_LIMIT_REACHED,
  FST_USERS_PASSKEY_LAST_LOGIN_METHOD
} = passkeyErrors
