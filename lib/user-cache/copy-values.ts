/** Returns true if a property of the object is an object, which a shallow copy would share. */
export function hasObjects (source: object): boolean {
  return Object.values(source).some(isShared)
}

/** Returns a copy of an object whose nested lists, objects and dates are copies too. */
export function copyDeeply<T extends object> (source: T): T {
  const entries = Object.entries(source).map(([key, value]) => [key, copyValue(value)])
  return Object.fromEntries(entries) as T // the same keys, with copies of their values
}

function copyValue (value: unknown): unknown {
  if (!isShared(value)) return value
  if (Array.isArray(value)) return value.map(copyValue)
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? copyDeeply(value) : structuredClone(value)
}

function isShared (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
