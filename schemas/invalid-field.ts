/** Returns a `TypeError` with a code for a field that `userSchemas` refuses. */
export function invalidField (reason: string): TypeError {
  return Object.assign(new TypeError(`userSchemas: ${reason}`), {
    code: 'FST_USERS_INVALID_FIELD',
    statusCode: 500,
    detail: 'INVALID_FIELD'
  })
}
