/** The loaded lists by minimum length. They never change, so one copy serves all applications of the process. */
const lists = new Map<number, Promise<ReadonlySet<string>>>()

/**
 * Returns true for the most common passwords of at least `minimumLength` characters. The password must be in lower
 * case.
 *
 * The first call loads the list (3 MB), which takes about 50 ms. The argument of `import()` is a literal, so that
 * bundlers include the list.
 */
export async function isCommonPassword (password: string, minimumLength: number): Promise<boolean> {
  let list = lists.get(minimumLength)
  if (list === undefined) {
    list = loadCommonPasswords(minimumLength)
    lists.set(minimumLength, list)
  }
  return (await list).has(password)
}

async function loadCommonPasswords (minimumLength: number): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common')
  return new Set(dictionary['passwords-common'].filter((password) => password.length >= minimumLength))
}
