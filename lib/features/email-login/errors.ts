import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof emailLoginErrors> {}
}

/** Errors of `emailLogin()`. */
export const emailLoginErrors = defineErrors({
  EMAIL_LOGIN_INVALID: {
    statusCode: 400,
    message: 'The code or the link is wrong, was used, or has expired. Ask for a new mail.'
  },
  EMAIL_LOGIN_OTHER_BROWSER: {
    statusCode: 409,
    message: 'The link was requested in another browser. Show `detail` to the person, and ask before you send `other_browser`.',
    example: {
      code: 'EMAIL_LOGIN_OTHER_BROWSER',
      email: 'king.arthur@camelot.bt',
      device: 'Firefox, Linux',
      ip: '192.0.2.1',
      requested_at: '2026-01-31T12:00:00.000Z'
    }
  }
})

export const { FST_USERS_EMAIL_LOGIN_INVALID, FST_USERS_EMAIL_LOGIN_OTHER_BROWSER } = emailLoginErrors
