/** Returns a name in snake_case as camelCase: `hashed_password` becomes `hashedPassword`. */
export function camelCase (name: string): string {
  const [first = '', ...others] = name.split('_').filter((word) => word !== '')
  return [first, ...others.map((word) => word.charAt(0).toUpperCase() + word.slice(1))].join('')
}
