/** Returns a name in snake_case as camelCase: `hashed_password` becomes `hashedPassword`. */
export function camelCase (name: string): string {
  return name.replaceAll(/(?<=[^_])_+([\p{L}\p{N}])/gu, (_match, letter: string) => letter.toUpperCase())
}
