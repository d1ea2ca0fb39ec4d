import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof oauthErrors> {}
}

/** Errors of the feature: first the codes of FastAPI Users, then those that it does not have. */
export const oauthErrors = defineErrors({
  OAUTH_NOT_AVAILABLE_EMAIL: {
    statusCode: 400,
    message: 'The provider returned no e-mail. Allow it to share the e-mail, or log in another way.'
  },
  OAUTH_USER_ALREADY_EXISTS: {
    statusCode: 400,
    message: 'A user with this e-mail exists already. Log in as this user and link the provider account.'
  },
  OAUTH_INVALID_STATE: {
    statusCode: 400,
    message: 'The login was started in another browser, is finished already, or took too long. Start again.'
  },
  ACCESS_TOKEN_DECODE_ERROR: {
    statusCode: 400,
    message: 'The parameter `state` of the login is not valid. Start the login again.'
  },
  ACCESS_TOKEN_ALREADY_EXPIRED: { statusCode: 400, message: 'The login took too long. Start again.' },
  OAUTH_REFUSED: {
    statusCode: 400,
    message: 'The provider or the user refused the login. Start again and allow it.',
    detail: 'Bad Request'
  },
  OAUTH_BAD_REDIRECT: {
    statusCode: 400,
    message: 'The URL to return to after the login is not allowed. Add it to the option `redirects`.'
  },
  OAUTH_ACCOUNT_ALREADY_LINKED: {
    statusCode: 400,
    message: 'Another user has linked this provider account. Unlink it there first.'
  },
  OAUTH_ACCOUNT_NOT_FOUND: {
    statusCode: 404,
    message: 'The user has no provider account with this id. Check the id.',
    detail: 'Not Found'
  },
  OAUTH_LAST_LOGIN_METHOD: {
    statusCode: 400,
    message: 'The provider account is the only way to log in. Set a password first.'
  },
  OAUTH_PROFILE_INCOMPLETE: {
    statusCode: 400,
    message: "The provider's profile lacks values that a user needs. Complete the profile, or register: %s"
  },
  OAUTH_PROVIDER_FAILED: {
    statusCode: 502,
    message: "The provider's response cannot be used. Try again; the server log has the cause."
  },
  OAUTH_PROVIDER_UNAVAILABLE: { statusCode: 503, message: 'The provider does not answer. Try again later.' },
  OAUTH_ISSUER_CHANGED: {
    statusCode: 500,
    message:
      'The accounts of the provider "%s" belong to the issuer %s, not to %s. Give the new issuer another `name`, or list the old one in `formerIssuers` if both issuers use the same subject for each person.'
  }
})

export const {
  FST_USERS_OAUTH_NOT_AVAILABLE_EMAIL,
  FST_USERS_OAUTH_USER_ALREADY_EXISTS,
  FST_USERS_OAUTH_INVALID_STATE,
  FST_USERS_ACCESS_TOKEN_DECODE_ERROR,
  FST_USERS_ACCESS_TOKEN_ALREADY_EXPIRED,
  FST_USERS_OAUTH_REFUSED,
  FST_USERS_OAUTH_BAD_REDIRECT,
  FST_USERS_OAUTH_ACCOUNT_ALREADY_LINKED,
  FST_USERS_OAUTH_ACCOUNT_NOT_FOUND,
  FST_USERS_OAUTH_LAST_LOGIN_METHOD,
  FST_USERS_OAUTH_PROFILE_INCOMPLETE,
  FST_USERS_OAUTH_PROVIDER_FAILED,
  FST_USERS_OAUTH_PROVIDER_UNAVAILABLE,
  FST_USERS_OAUTH_ISSUER_CHANGED
} = oauthErrors
