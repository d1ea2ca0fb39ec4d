export * from './attempts.js'
