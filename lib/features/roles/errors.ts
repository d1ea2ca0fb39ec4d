import { defineErrors, type ErrorCodesOf } from '../../feature/index.js'

declare module '../../contracts/errors.js' {
  interface UsersErrorCodes extends ErrorCodesOf<typeof rolesErrors> {}
}

/** Errors of `roles()`. */
export const rolesErrors = defineErrors({
  OWN_ROLE: {
    statusCode: 403,
    message: 'Users cannot change their own role. Ask another superuser.'
  },
  UNKNOWN_ROLE: { statusCode: 400, message: 'There is no role "%s". Use one of: %s' }
})

export const { FST_USERS_OWN_ROLE, FST_USERS_UNKNOWN_ROLE } = rolesErrors
