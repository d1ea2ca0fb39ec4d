export * from './define.js'
export * from './bearer/index.js'
export * from './cookie/index.js'
