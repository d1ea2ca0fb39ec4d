/**
 * Returns a check for the most common passwords of at least `minimumLength` characters. The check takes the whole
 * password in lower case.
 *
 * The list (3 MB) is loaded at the first check, which takes about 50 ms. It is loaded by `import()` with a literal
 * name,
 * so that bundlers include it.
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
