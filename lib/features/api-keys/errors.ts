import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof apiKeyErrors> {}
}

/** Errors of `apiKeys()`. */
export const apiKeyErrors = defineErrors({
  API_KEY_NOT_FOUND: {
    statusCode: 404,
    message: 'There is no API key with this id. Check the id.',
    detail: 'Not Found'
  },
  API_KEY_INVALID: { statusCode: 400, message: 'The values of the API key are not valid: %s' },
  API_KEY_LIMIT_REACHED: { statusCode: 400, message: 'The user has too many API keys. Revoke one first.' }
})

export const {
  FST_USERS_API_KEY_NOT_FOUND,
  FST_USERS_API_KEY_INVALID,
  FST_USERS_API_KEY_LIMIT_REACHED
} = apiKeyErrors
