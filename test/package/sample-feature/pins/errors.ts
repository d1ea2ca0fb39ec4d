import { defineErrors, type ErrorCodesOf } from 'fastify-users/feature'

declare module 'fastify-users' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof pinErrors> {}
}

export const pinErrors = defineErrors({
  PIN_WRONG: { statusCode: 400, message: 'The PIN is wrong. Try again.' },
  PIN_TOO_SIMPLE: { statusCode: 400, message: 'The digits of the PIN are all equal. Choose another one.' },
  PIN_LAST_LOGIN_METHOD: { statusCode: 400, message: 'The PIN is the only way to log in. Set a password first.' }
})
