/**
 * Creates a function that returns true for the most common passwords of at least `minimumLength` characters. The
 * function expects the password in lower case.
 *
 * The first call loads the list (3 MB), which takes about 50 ms. The argument of `import()` is a literal, so that
 * bundlers include the list.
 */
export function lazyCommonPasswords (minimumLength: number): (password: string) => Promise<boolean> {
  let list: Promise<ReadonlySet<string>> | undefined
  return async (password) => {
    list ??= loadCommonPasswords(minimumLength)
    return (await list).has(password)
  }
}

async function loadCommonPasswords (minimumLength: number): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common')
  return new Set(dictionary['passwords-common'].filter((password) => password.length >= minimumLength))
}
